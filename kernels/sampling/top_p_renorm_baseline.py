import flashinfer
import torch


@torch.no_grad()
def run(probs, top_p):
    return flashinfer.sampling.top_p_renorm_probs(probs, top_p)
