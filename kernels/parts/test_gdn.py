def unit(g, *shape):
    return F.normalize(torch.randn(*shape, generator=g), dim=-1).bfloat16()


def inputs(c, g):
    lead, qh, vh, n = LEAD, c["num_q_heads"], c["num_v_heads"], c["head_size"]
    rnd = lambda *shape: torch.randn(*shape, generator=g)
    return {
        "q": unit(g, *lead, qh, n),
        "k": unit(g, *lead, qh, n),
        "v": rnd(*lead, vh, n).bfloat16(),
        "A_log": rnd(vh),
        "a": rnd(*lead, vh).bfloat16(),
        "dt_bias": rnd(vh),
        "b": rnd(*lead, vh).bfloat16(),
        "scale": 1 / math.sqrt(n),
        **states(rnd, vh, n),
    }


def independent(c, x):
    """S <- decay S (1 - beta k k^T) + beta v k^T with whole matrices, in double."""
    vh, n = x["v"].shape[-2:]
    f = lambda t: t.double()
    decay = torch.exp(-f(x["A_log"]).exp() * F.softplus(f(x["a"]) + f(x["dt_bias"])))
    beta = torch.sigmoid(f(x["b"]))
    q, k = (f(x[s]).repeat_interleave(vh // x[s].shape[-2], -2) for s in "qk")
    eye, out = torch.eye(n, dtype=torch.float64), torch.zeros(x["v"].shape, dtype=torch.float64)
    if "cu_seqlens" in x:
        cu = x["cu_seqlens"].tolist()
        runs = [(f(x["state"][i]), [(t,) for t in range(a, b)]) for i, (a, b) in enumerate(zip(cu, cu[1:]))]
    else:
        start = x["initial_state"][x["initial_state_indices"].long()] if "initial_state" in x else x["state"]
        runs = [(f(start[i]), [(i, t) for t in range(x["q"].shape[1])]) for i in range(len(start))]
    last = []
    for s, at in runs:
        for t in at:
            s = decay[t][:, None, None] * s @ (eye - beta[t][:, None, None] * k[t][:, :, None] * k[t][:, None, :])
            s = s + beta[t][:, None, None] * f(x["v"][t])[:, :, None] * k[t][:, None, :]
            out[t] = torch.einsum("hvk,hk->hv", s, q[t]) * x["scale"]
        last.append(s)
    # with a pool of states the pool stays as it is until tokens are accepted
    return out, (x["initial_state"] if "initial_state" in x else torch.stack(last))
