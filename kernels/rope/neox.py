import torch


# part: rotate_neox


@torch.no_grad()
def run(q, k, cos_sin_cache, positions):
    assert q.shape[-1] == k.shape[-1] == @{head_size}
    assert cos_sin_cache.shape[1] == @{rotary_dim}
    cos, sin = cos_sin_cache[positions].float().chunk(2, dim=-1)
    return rotate(q, cos, sin), rotate(k, cos, sin)
