# part: test_head


CAPABILITY = (10, 0)


def inputs(c, g):
    fp8 = lambda *shape: torch.randn(*shape, generator=g).to(torch.float8_e4m3fn)
    scale = lambda *shape: torch.rand(*shape, generator=g) / 16 + 0.01
    k, n = c["num_k_blocks"], c["num_n_blocks"]
    return {"a": fp8(8, c["K"]), "b": fp8(c["N"], c["K"]), "a_scale": scale(8, k), "b_scale": scale(n, k)}


def independent(c, x):
    """A block of K at a time, the scales applied to the products."""
    out = torch.zeros(8, c["N"])
    row = torch.arange(c["N"]) // 128
    for i in range(c["num_k_blocks"]):
        at = slice(i * 128, min((i + 1) * 128, c["K"]))
        part = x["a"][:, at].float() @ x["b"][:, at].float().T
        out += part * x["a_scale"][:, i, None] * x["b_scale"][row, i]
    return out


def agree(got, want):
    torch.testing.assert_close(got[0].float(), want[0].float(), rtol=2e-2, atol=2e-2 * float(want[0].abs().max()))


# part: test_tail
