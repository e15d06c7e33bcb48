LEVELS = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]


def fp4(g, *shape):
    """Any bytes are pairs of e2m1."""
    return torch.randint(0, 256, shape, generator=g, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)


def scales(g, *shape):
    return (torch.rand(*shape, generator=g) / 4 + 0.03).to(torch.float8_e4m3fn)


def plain(packed, scale):
    """fp4 times its scales in double, by a table of bytes."""
    pairs = torch.tensor([[LEVELS[b & 15], LEVELS[b >> 4]] for b in range(256)], dtype=torch.float64)
    x = pairs[packed.view(torch.uint8).long()].flatten(-2)
    return x * scale.double().repeat_interleave(x.shape[-1] // scale.shape[-1], dim=-1)
