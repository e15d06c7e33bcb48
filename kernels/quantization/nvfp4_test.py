# part: test_head


# part: test_fp4


CAPABILITY = (10, 0)


def inputs(c, g):
    a = torch.randn(5, c["K"], generator=g).bfloat16() * 4
    return {"a": a, "a_global_sf": 448 * 6 / float(a.float().abs().max())}


def independent(c, x):
    return (x["a"].double(), x["a_global_sf"])


def agree(got, want):
    """Undone, each element is within half a step of e2m1 of the input, the step growing with the size."""
    back = plain(got[0], got[1]) / want[1]
    step = got[1].double().repeat_interleave(16, dim=1) / want[1]
    bound = step * (1.0 + 0.07 * want[0].abs() / step.clamp(min=1e-9)) + 1e-6
    assert ((back - want[0]).abs() <= bound).all()


# part: test_tail
