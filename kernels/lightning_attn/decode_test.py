# part: test_head


def inputs(c, g):
    h, n = c["num_heads"], c["head_dim"]
    rnd = lambda *shape: torch.randn(*shape, generator=g)
    x = {s: rnd(3, h, n).bfloat16() / 4 for s in "qkv"}
    return {**x, "state": rnd(3, h, n, n), "slope": torch.rand(h, generator=g)}


def independent(c, x):
    """q (decay S + k v^T) without making the state: decay q S + (q.k) v."""
    q, k, v = (x[s].double() for s in "qkv")
    decay = torch.exp(-x["slope"].double())
    out = decay[:, None] * (q[:, :, None] @ x["state"].double())[:, :, 0] + (q * k).sum(-1, keepdim=True) * v
    return out, decay[:, None, None] * x["state"].double() + k[..., None] * v[:, :, None]


# part: test_tail
