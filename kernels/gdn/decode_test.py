# part: test_head


def unit(g, *shape):
    return F.normalize(torch.randn(*shape, generator=g), dim=-1).bfloat16()


def inputs(c, g):
    lead, qh, vh, n = (3, 1), c["num_q_heads"], c["num_v_heads"], c["head_size"]
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
        "state": rnd(3, vh, n, n),
    }


# part: independent_gdn


# part: test_tail
