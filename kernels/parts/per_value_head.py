def per_value_head(x, heads):
    return x.float().repeat_interleave(heads // x.shape[-2], dim=-2)
