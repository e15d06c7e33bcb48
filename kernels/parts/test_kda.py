CAPABILITY = (9, 0)


def inputs(c, g):
    lead, qh, vh, n = LEAD, c["num_q_heads"], c["num_v_heads"], c["head_dim"]
    rnd = lambda *shape: torch.randn(*shape, generator=g)
    unit = lambda *shape: F.normalize(rnd(*shape), dim=-1).bfloat16()
    return {
        "q": unit(*lead, qh, n),
        "k": unit(*lead, qh, n),
        "v": rnd(*lead, vh, n).bfloat16(),
        "g": -rnd(*lead, vh, n).exp().bfloat16() / 4,
        "beta": torch.sigmoid(rnd(*lead, vh)).bfloat16(),
        "state": rnd(3, vh, n, n).bfloat16(),
        "cu_seqlens": torch.tensor([0, 4, 5, 9]),
        "scale": 1 / math.sqrt(n),
    }


def independent(c, x):
    """S <- S diag(decay) (1 - beta k k^T) + beta v k^T with whole matrices, in double."""
    n, rep = c["head_dim"], c["num_v_heads"] // c["num_q_heads"]
    q, k, v, g, beta = (x[s].double() for s in ("q", "k", "v", "g", "beta"))
    q, k = q.repeat_interleave(rep, -2), k.repeat_interleave(rep, -2)
    cu = x["cu_seqlens"].tolist() if "cu_seqlens" in x else None
    steps = [range(a, b) for a, b in zip(cu, cu[1:])] if cu else [[(i, 0)] for i in range(len(x["state"]))]
    out, last, eye = torch.zeros_like(v), [], torch.eye(n, dtype=torch.float64)
    for i, at in enumerate(steps):
        s = x["state"][i].double()
        for t in at:
            s = s @ torch.diag_embed(g[t].exp()) @ (eye - beta[t][:, None, None] * k[t][:, :, None] * k[t][:, None])
            s = s + beta[t][:, None, None] * v[t][:, :, None] * k[t][:, None]
            out[t] = (s @ q[t][..., None])[..., 0] * x["scale"]
        last.append(s)
    return out, torch.stack(last)
