# part: test_head


# part: test_sampling


def independent(c, x):
    """All at or above the k-th probability."""
    p = x["probs"].double()
    s = p.sort(-1, descending=True).values
    k = x["top_k"].long()
    k = torch.where((k > 0) & (k < p.shape[1]), k, p.shape[1])
    least = s.gather(-1, k[:, None] - 1)
    kept = torch.where(p >= least, p, 0.0)
    return kept / kept.sum(-1, keepdim=True)


def agree(got, want):
    """Where rounding decides about a token, its mass is next to nothing."""
    torch.testing.assert_close(got[0].double(), want[0], rtol=1e-3, atol=2e-4)


# part: test_tail
