def rotate(x, cos, sin):
    """x [T, H, D]; cos and sin [T, rotary_dim / 2], float32."""
    half = @{rotary_dim} // 2
    a, b, rest = x.float().split([half, half, @{head_size} - 2 * half], dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1).to(x.dtype)
