# the eight magnitudes of e2m1; the fourth bit is the sign
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def unpack(packed):
    """Pairs of e2m1 [..., K/2] as float32 [..., K], the low bits first."""
    raw = packed.view(torch.uint8)
    table = torch.tensor(E2M1 + tuple(-m for m in E2M1), device=raw.device)
    return torch.stack([table[(raw & 15).long()], table[(raw >> 4).long()]], dim=-1).flatten(-2)


def scaled(packed, scale):
    """The same times a scale for each group of elements."""
    x = unpack(packed)
    return (x.unflatten(-1, (scale.shape[-1], -1)) * scale.float()[..., None]).flatten(-2)
