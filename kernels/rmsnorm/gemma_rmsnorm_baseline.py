import flashinfer
import torch


@torch.no_grad()
def run(hidden_states, weight):
    return flashinfer.norm.gemma_rmsnorm(hidden_states, weight, eps=@{eps})
