# part: test_head


# part: test_fp4


CAPABILITY = (10, 0)


def inputs(c, g):
    n, k, s = c["N"], c["K_packed"], c["num_scales"]
    return {"a": fp4(g, 8, k), "b": fp4(g, n, k), "a_descale": scales(g, 8, s), "b_descale": scales(g, n, s), "alpha": 0.05}


def independent(c, x):
    return plain(x["a"], x["a_descale"]).float() @ plain(x["b"], x["b_descale"]).float().T * x["alpha"]


def agree(got, want):
    torch.testing.assert_close(got[0].float(), want[0].float(), rtol=2e-2, atol=2e-2 * float(want[0].abs().max()))


# part: test_tail
