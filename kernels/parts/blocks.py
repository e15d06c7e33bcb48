def blocks(weight, scale):
    """A weight [N, K] in fp8 with a scale for each 128 x 128 block, in float32."""
    scale = scale.float().repeat_interleave(BLOCK, dim=0).repeat_interleave(BLOCK, dim=1)
    return weight.float() * scale
