def expert(x, w13, s13, w2, s2):
    """SwiGLU of one expert; rows of the first weight are up, then gate."""
    up, gate = (x @ blocks(w13, s13).T).chunk(2, dim=-1)
    return (F.silu(gate) * up) @ blocks(w2, s2).T
