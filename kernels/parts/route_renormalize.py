def route(logits, bias, scaling):
    """The chosen experts [T, top_k] and their weights: softmax over the chosen."""
    best, chosen = logits.float().topk(@{top_k}, dim=-1)
    return chosen, torch.softmax(best, dim=-1) * float(scaling)
