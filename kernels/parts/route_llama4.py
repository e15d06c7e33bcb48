def route(logits, bias, scaling):
    """The best expert of each token [T, 1] and its weight, a sigmoid."""
    best, chosen = logits.float().topk(@{top_k}, dim=-1)
    return chosen, torch.sigmoid(best) * float(scaling)
