import torch


@torch.no_grad()
def run(probs, top_p):
    assert probs.shape[1] == @{vocab_size}
    renormalized = torch.empty_like(probs)
    for i, row in enumerate(probs.float()):
        values, order = torch.sort(row, descending=True)
        mass_before = torch.cat([values.new_zeros(1), torch.cumsum(values, dim=0)[:-1]])
        # the last one kept makes the mass reach p; what ties with it stays
        least = values[mass_before < max(float(top_p[i]), 1e-9)][-1]
        row = torch.where(row >= least, row, torch.zeros_like(row))
        renormalized[i] = row / row.sum()
    return renormalized
