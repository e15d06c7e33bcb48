import torch


# no library has it alone in Triton: what PyTorch's compiler makes of the formula
@torch.compile(dynamic=True)
def rotate(x, cos, sin):
    half = @{rotary_dim} // 2
    a, b, rest = x.float().split([half, half, @{head_size} - 2 * half], dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1).to(x.dtype)


@torch.no_grad()
def run(q, k, cos_sin_cache, positions):
    cos, sin = cos_sin_cache[positions].float().chunk(2, dim=-1)
    return rotate(q, cos, sin), rotate(k, cos, sin)
