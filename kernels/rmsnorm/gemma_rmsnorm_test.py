# part: test_head


def inputs(c, g):
    x = {k: torch.randn(6, c["hidden_size"], generator=g).bfloat16() for k in ("hidden_states", "residual")}
    x["hidden_states"][1] *= 300  # an outlier, as activations have them
    x["weight"] = torch.randn(c["hidden_size"], generator=g).bfloat16()
    return x


def independent(c, x):
    total = x["hidden_states"].double() + (x["residual"].double() if "residual" in x else 0)
    return F.rms_norm(total, total.shape[-1:], x["weight"].double() + 1, @{eps})


# part: test_tail
