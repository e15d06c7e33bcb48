import torch


@torch.no_grad()
def run(probs, top_k):
    assert probs.shape[1] == @{vocab_size}
    renormalized = torch.empty_like(probs)
    for i, row in enumerate(probs.float()):
        k = int(top_k[i])
        if 0 < k < len(row):
            # what ties with the k-th stays
            row = torch.where(row >= torch.topk(row, k).values[-1], row, torch.zeros_like(row))
        renormalized[i] = row / row.sum()
    return renormalized
