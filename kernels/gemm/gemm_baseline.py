import torch
import torch.nn.functional as F


@torch.no_grad()
def run(A, B):
    """cuBLAS by way of PyTorch, as serving engines call it."""
    return F.linear(A, B)
