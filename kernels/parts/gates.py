def gates(A_log, a, dt_bias, b):
    """Decay and update gate of each token and value head, float32."""
    decay = torch.exp(-torch.exp(A_log.float()) * F.softplus(a.float() + dt_bias.float()))
    return decay, torch.sigmoid(b.float())
