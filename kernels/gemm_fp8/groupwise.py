import torch

BLOCK = 128


@torch.no_grad()
def run(a, b, a_scale, b_scale):
    assert a.shape[1] == b.shape[1] == @{K} and b.shape[0] == @{N}
    x = a.float() * a_scale.float().repeat_interleave(BLOCK, dim=1)[:, : @{K}]
    rows = b_scale.float().repeat_interleave(BLOCK, dim=0)[: @{N}]
    w = b.float() * rows.repeat_interleave(BLOCK, dim=1)[:, : @{K}]
    return (x @ w.T).to(torch.bfloat16)
