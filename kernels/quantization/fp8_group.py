import torch

LARGEST = 448.0  # of float8_e4m3fn


@torch.no_grad()
def run(x):
    assert x.shape[1] == @{K}
    groups = x.float().unflatten(1, (@{num_groups}, @{group_size}))
    scales = groups.abs().amax(dim=-1).clamp(min=1e-10) / LARGEST
    quantized = (groups / scales[..., None]).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn)
    return quantized.flatten(1), scales
