def agree(got, want):
    """FlashInfer gives the log-sum-exp of an empty request as a large negative number."""
    for i, (g, w) in enumerate(zip(got, want)):
        g = g.float()
        if i:
            g = torch.where(g < -1e4, -math.inf, g)
        torch.testing.assert_close(g, w.float(), rtol=2e-2, atol=2e-2)
