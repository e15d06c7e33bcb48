def weighted(tokens, weight, expert):
    """Every expert on every token, which its weight scales before."""
    return sum(expert(e, tokens * weight[:, e, None].to(tokens.dtype)) * (weight[:, e, None] > 0) for e in range(weight.shape[1]))
