def once(what, key, make):
    """What an engine computes once a step for all layers, each `what` of its own: kept while `key`, a tensor, lives."""
    made = once.made.get(what)
    if made is None or made[0]() is not key:
        made = once.made[what] = weakref.ref(key), make()
    return made[1]


once.made = {}


def slots(kv_indptr, kv_indices, lengths, page_size):
    """Where the first `lengths` tokens of each request lie in the cache, one after another, and their indptr."""
    indptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]).to(torch.int32)
    request = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths.long())
    token = torch.arange(len(request), device=lengths.device) - indptr.long()[request]
    page = kv_indices.long()[kv_indptr.long()[request] + token // page_size]
    return indptr, page * page_size + token % page_size


def lengths_of(kv_indptr, last, page_size):
    pages = kv_indptr[1:] - kv_indptr[:-1]
    return pages if last is None else torch.where(pages > 0, (pages - 1) * page_size + last, 0)
