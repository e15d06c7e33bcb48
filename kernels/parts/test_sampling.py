def inputs(c, g):
    v = c["vocab_size"]
    return {
        "probs": torch.softmax(torch.randn(6, v, generator=g) * 3, -1),
        "top_k": torch.tensor([1, 3, 50, 0, v, 7], dtype=torch.int32),
        "top_p": torch.tensor([0.1, 0.9, 0.5, 1.0, 0.0, 0.99]),
        "min_p": torch.tensor([0.0, 1.0, 0.5, 0.1, 0.01, 0.9]),
    }


def allowed(x):
    """Which tokens may come out, by rank and mass of the whole matrix at once."""
    p = x["probs"].double()
    ranks = p.argsort(-1, descending=True).argsort(-1)
    may = torch.ones_like(p, dtype=torch.bool)
    if "min_p" in x:
        may &= p >= (x["min_p"].double()[:, None] - 1e-7) * p.amax(-1, keepdim=True)
    if "top_k" in x:
        k = x["top_k"].long()
        may &= ranks < torch.where((k > 0) & (k < p.shape[1]), k, p.shape[1])[:, None]
        p = torch.where(may, p, 0.0)
        p = p / p.sum(-1, keepdim=True)
    if "top_p" in x:
        order = p.argsort(-1, descending=True)
        s = p.gather(-1, order)
        before = torch.zeros_like(p).scatter(-1, order, s.cumsum(-1) - s)
        may &= (before <= x["top_p"].double()[:, None] + 1e-4) & (x["top_p"] > 0)[:, None] | (ranks == 0)
    return may
