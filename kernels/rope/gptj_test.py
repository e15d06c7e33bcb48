# part: test_head


def rotated(x, z, rd):
    r = torch.view_as_complex(x[..., :rd].unflatten(-1, (-1, 2)).contiguous()) * z
    return torch.cat([torch.view_as_real(r).flatten(-2), x[..., rd:]], -1)


def inputs(c, g):
    angle = torch.rand(100, c["rotary_dim"] // 2, generator=g) * 6.28
    q, k = (torch.randn(5, heads, c["head_size"], generator=g).bfloat16() for heads in (4, 2))
    cache = torch.cat([angle.cos(), angle.sin()], -1)
    return {"q": q, "k": k, "cos_sin_cache": cache, "positions": torch.tensor([0, 5, 99, 3, 3])}


def independent(c, x):
    """A rotation is a product of complex numbers."""
    rd = c["rotary_dim"]
    z = torch.complex(*x["cos_sin_cache"][x["positions"]].double().chunk(2, -1))[:, None]
    return tuple(rotated(x[s].double(), z, rd) for s in "qk")


# part: test_tail
