def keep_top_p(row, p):
    """Keep the most probable until their mass passes p, and renormalise."""
    if p >= 1.0:
        return row
    values, order = torch.sort(row, descending=True)
    mass_before = torch.cat([values.new_zeros(1), torch.cumsum(values, dim=0)[:-1]])
    kept = torch.zeros_like(row)
    best = order[mass_before <= p]
    kept[best] = row[best]
    return kept / kept.sum()
