# part: test_head


def inputs(c, g):
    h, n, s, groups = c["nheads"], c["head_dim"], c["dstate"], c["ngroups"]
    rnd = lambda *shape: torch.randn(*shape, generator=g)
    # A, D and dt_bias hold one value a head, spread over its elements
    spread = lambda t, *shape: t.reshape(h, *[1] * (len(shape) - 1)).expand(*shape).contiguous()
    return {
        "state": rnd(5, h, n, s).bfloat16(),
        "x": rnd(3, h, n).bfloat16(),
        "dt": rnd(3, h, 1).expand(3, h, n).contiguous().bfloat16(),
        "A": spread(-rnd(h).exp(), h, n, s),
        "B": rnd(3, groups, s).bfloat16(),
        "C": rnd(3, groups, s).bfloat16(),
        "D": spread(rnd(h), h, n).bfloat16(),
        "dt_bias": spread(rnd(h), h, n).bfloat16(),
        "state_batch_indices": torch.tensor([3, -1, 0], dtype=torch.int32),
    }


def independent(c, x):
    y = {k: v.double() for k, v in x.items()}
    slot = x["state_batch_indices"].long()
    live = slot >= 0
    dt = torch.log1p((y["dt"] + y["dt_bias"]).exp())
    head = torch.arange(c["nheads"]) // (c["nheads"] // c["ngroups"])
    s = y["state"][slot.clamp(min=0)] * (dt[..., None] * y["A"]).exp()
    s = s + torch.einsum("bhd,bhs->bhds", dt * y["x"], y["B"][:, head])
    out = (torch.einsum("bhds,bhs->bhd", s, y["C"][:, head]) + y["x"] * y["D"]) * live[:, None, None]
    after = y["state"].clone()
    after[slot[live]] = s[live]
    return out, after


# part: test_tail
