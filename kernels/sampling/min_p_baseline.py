import flashinfer
import torch


@torch.no_grad()
def run(probs, min_p):
    return flashinfer.sampling.min_p_sampling_from_probs(probs, min_p).to(torch.int64)
