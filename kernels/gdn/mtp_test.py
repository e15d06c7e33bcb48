# part: test_head


def unit(g, *shape):
    return F.normalize(torch.randn(*shape, generator=g), dim=-1).bfloat16()


def inputs(c, g):
    lead, qh, vh, n = (3, 4), c["num_q_heads"], c["num_v_heads"], c["head_size"]
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
        "initial_state": rnd(5, vh, n, n),
        "initial_state_indices": torch.tensor([4, 0, 2], dtype=torch.int32),
        "intermediate_states_buffer": torch.zeros(5, 4, vh, n, n),
    }


# part: independent_gdn


# part: test_tail
