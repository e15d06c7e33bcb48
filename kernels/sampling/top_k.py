import torch


# part: keep_top_k


@torch.no_grad()
def run(probs, top_k):
    assert probs.shape[1] == @{vocab_size}
    samples = torch.empty(len(probs), dtype=torch.int64, device=probs.device)
    for i, row in enumerate(probs.float()):
        row = keep_top_k(row, int(top_k[i]))
        samples[i] = torch.multinomial(row, 1, replacement=True)[0]
    return samples
