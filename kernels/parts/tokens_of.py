def tokens_of(cache, pages, last_len):
    """The tokens [T, D] of a request, the last page being part full."""
    flat = cache[pages.long()].flatten(0, 1).float()
    return flat[: (len(pages) - 1) * cache.shape[1] + last_len]
