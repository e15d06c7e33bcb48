import torch
import torch.nn.functional as F


@torch.no_grad()
def run(A, B):
    """cuBLAS by way of PyTorch, which serving engines call; FlashInfer is not needed for it."""
    return F.linear(A, B)
