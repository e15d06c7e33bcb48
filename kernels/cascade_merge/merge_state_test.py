# part: test_head


def inputs(c, g):
    rnd = lambda *shape: torch.randn(7, c["num_heads"], *shape, generator=g)
    s_a, s_b = rnd() * 5, rnd() * 5
    s_a[1], s_b[2] = -math.inf, -math.inf  # a part without keys
    return {"v_a": rnd(c["head_dim"]).bfloat16(), "s_a": s_a, "v_b": rnd(c["head_dim"]).bfloat16(), "s_b": s_b}


def independent(c, x):
    s = torch.stack([x["s_a"], x["s_b"]]).double() * math.log(2)
    v = torch.stack([x["v_a"], x["v_b"]]).double()
    return (torch.softmax(s, 0)[..., None] * v).sum(0), torch.logsumexp(s, 0) / math.log(2)


# part: test_tail
