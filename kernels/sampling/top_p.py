import torch


def keep_top_p(row, p):
    """Keep the most probable until their mass passes p, and renormalise."""
    if p >= 1.0:
        return row
    values, order = torch.sort(row, descending=True)
    mass_before = torch.cat([values.new_zeros(1), torch.cumsum(values, dim=0)[:-1]])
    kept = torch.zeros_like(row)
    best = order[mass_before <= p]
    kept[best] = row[best]
    return kept / kept.sum()


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
