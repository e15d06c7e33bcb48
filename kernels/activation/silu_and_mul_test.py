# part: test_head


# part: independent_silu


def inputs(c, g):
    return {"input": torch.randn(7, c["hidden_size"], generator=g).bfloat16() * 3}


def independent(c, x):
    half = c["intermediate_size"]
    return activated(x["input"][:, :half].double()) * x["input"][:, half:].double()


# part: test_tail
