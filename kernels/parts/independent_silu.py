activated = F.silu
