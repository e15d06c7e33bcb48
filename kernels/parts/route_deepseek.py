def route(logits, bias, scaling):
    """The chosen experts [T, top_k] and their weights.

    The bias counts for the choice alone; groups are ranked by the sum of
    their two best.
    """
    score = torch.sigmoid(logits.float())
    choice = (score + bias.float()).unflatten(1, (@{n_group}, -1))
    group_score = choice.topk(2, dim=-1).values.sum(dim=-1)
    kept = torch.zeros_like(group_score, dtype=torch.bool)
    kept.scatter_(1, group_score.topk(@{topk_group}, dim=-1).indices, True)
    choice = choice.masked_fill(~kept[..., None], torch.finfo(torch.float32).min).flatten(1)
    chosen = choice.topk(@{top_k}, dim=-1).indices
    weight = score.gather(1, chosen)
    return chosen, weight / (weight.sum(dim=-1, keepdim=True) + 1e-20) * scaling
