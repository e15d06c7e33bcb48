import flashinfer
import torch


@torch.no_grad()
def run(probs, top_k, top_p):
    samples = flashinfer.sampling.top_k_top_p_sampling_from_probs(
        probs, keep_all(top_k, probs.shape[1]), top_p, filter_apply_order="top_k_first"
    ).to(torch.int64)
    return torch.where(top_p > 0, samples, probs.argmax(dim=-1))


# part: keep_all
