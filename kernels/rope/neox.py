import torch


def rotate(x, cos, sin):
    """x [T, H, D]; cos and sin [T, rotary_dim / 2], float32."""
    half = @{rotary_dim} // 2
    a, b, rest = x.float().split([half, half, @{head_size} - 2 * half], dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1).to(x.dtype)


@torch.no_grad()
def run(q, k, cos_sin_cache, positions):
    assert q.shape[-1] == k.shape[-1] == @{head_size}
    assert cos_sin_cache.shape[1] == @{rotary_dim}
    cos, sin = cos_sin_cache[positions].float().chunk(2, dim=-1)
    return rotate(q, cos, sin), rotate(k, cos, sin)
