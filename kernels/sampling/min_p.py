import torch


@torch.no_grad()
def run(probs, min_p):
    assert probs.shape[1] == @{vocab_size}
    samples = torch.empty(len(probs), dtype=torch.int64, device=probs.device)
    for i, row in enumerate(probs.float()):
        row = torch.where(row >= float(min_p[i]) * row.max(), row, torch.zeros_like(row))
        samples[i] = torch.multinomial(row, 1, replacement=True)[0]
    return samples
