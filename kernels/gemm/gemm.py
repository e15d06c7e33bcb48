import torch


@torch.no_grad()
def run(A, B):
    assert A.shape[1] == B.shape[1] == @{K}
    assert B.shape[0] == @{N}
    return A @ B.T
