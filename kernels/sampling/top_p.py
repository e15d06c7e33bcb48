import torch


# part: keep_top_p


@torch.no_grad()
def run(probs, top_p):
    assert probs.shape[1] == @{vocab_size}
    samples = torch.empty(len(probs), dtype=torch.int64, device=probs.device)
    for i, row in enumerate(probs.float()):
        p = float(top_p[i])
        if p <= 0.0:
            samples[i] = torch.argmax(row)
            continue
        samples[i] = torch.multinomial(keep_top_p(row, p), 1, replacement=True)[0]
    return samples
