# part: test_head


def inputs(c, g):
    h, n = c["num_heads"], c["head_dim"]
    rnd = lambda *shape: torch.randn(*shape, generator=g)
    x = {s: rnd(9, h, n).bfloat16() / 4 for s in "qkv"}
    return {**x, "state": rnd(3, h, n, n), "slope": torch.rand(h, generator=g), "cu_seqlens": torch.tensor([0, 4, 4, 9])}


def independent(c, x):
    """The parallel form: (q k^T * decay^(t-s)) v, and the state's share decay^(t+1) q S."""
    outs, states = [], []
    cu, slope = x["cu_seqlens"].tolist(), x["slope"].double()
    for i, (a, b) in enumerate(zip(cu, cu[1:])):
        q, k, v = (x[s][a:b].double().transpose(0, 1) for s in "qkv")
        s, n = x["state"][i].double(), b - a
        t = torch.arange(n)
        age = (t[:, None] - t).double()
        weight = torch.where(age >= 0, torch.exp(-slope[:, None, None] * age.clamp(min=0)), 0.0)
        gone = torch.exp(-slope[:, None] * (t + 1).double())
        outs.append(((q @ k.mT * weight) @ v + gone[..., None] * (q @ s)).transpose(0, 1))
        left = torch.exp(-slope[:, None] * (n - 1 - t).double())
        states.append(s * torch.exp(-slope * n)[:, None, None] + (k * left[..., None]).mT @ v)
    return torch.cat(outs), torch.stack(states)


# part: test_tail
