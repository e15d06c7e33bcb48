import torch


# part: rotate_neox


# no library has it alone in Triton: what PyTorch's compiler makes of the formula
rotate = torch.compile(rotate, dynamic=True)


@torch.no_grad()
def run(q, k, cos_sin_cache, positions):
    cos, sin = cos_sin_cache[positions].float().chunk(2, dim=-1)
    return rotate(q, cos, sin), rotate(k, cos, sin)
