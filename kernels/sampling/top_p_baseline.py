import flashinfer
import torch


@torch.no_grad()
def run(probs, top_p):
    samples = flashinfer.sampling.top_p_sampling_from_probs(probs, top_p).to(torch.int64)
    return torch.where(top_p > 0, samples, probs.argmax(dim=-1))
