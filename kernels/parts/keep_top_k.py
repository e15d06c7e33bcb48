def keep_top_k(row, k):
    """Zero all but the k most probable and renormalise; any other k keeps all."""
    if not 0 < k < len(row):
        return row
    kept = torch.zeros_like(row)
    best = torch.argsort(row, descending=True)[:k]
    kept[best] = row[best]
    return kept / kept.sum()
