import torch


def rotate(x, cos, sin):
    """x [T, H, D], elements 2i and 2i + 1 a pair; cos and sin [T, rotary_dim / 2], float32."""
    cos, sin = cos[:, None], sin[:, None]
    turned, rest = x.float().split([@{rotary_dim}, @{head_size} - @{rotary_dim}], dim=-1)
    a, b = turned[..., 0::2], turned[..., 1::2]
    pairs = torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1)
    return torch.cat([pairs.flatten(-2), rest], dim=-1).to(x.dtype)


@torch.no_grad()
def run(q, k, cos_sin_cache, positions):
    assert q.shape[-1] == k.shape[-1] == @{head_size}
    assert cos_sin_cache.shape[1] == @{rotary_dim}
    cos, sin = cos_sin_cache[positions].float().chunk(2, dim=-1)
    return rotate(q, cos, sin), rotate(k, cos, sin)
