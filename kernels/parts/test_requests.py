def requests(decode):
    """Tokens of queries and of keys of each request: one token, a full page, an empty request."""
    kv = [1, 7, 200, 64, 0] if decode else [1, 7, 160, 64]
    return ([1] * len(kv) if decode else [1, 7, 9, 64]), kv


def pages_of(lengths, page_size, g):
    """Pages out of order, some of the cache unused: (pages in all, inputs)."""
    pages = [-(-n // page_size) for n in lengths]
    total = sum(pages) + 3
    return total, {
        "kv_indptr": indptr(pages),
        "kv_indices": torch.randperm(total, generator=g)[: sum(pages)].to(torch.int32),
        "kv_last_page_len": torch.tensor([(n - 1) % page_size + 1 if n else 0 for n in lengths], dtype=torch.int32),
    }


def tokens(cache, x, i, n):
    """The n tokens of request i."""
    rows = x["kv_indices"][int(x["kv_indptr"][i]) : int(x["kv_indptr"][i + 1])].long()
    return cache[rows].flatten(0, 1)[:n]


def by_request(x, q, kv_of, q_len, kv_len):
    """attention() of each request, put together; an empty one answers zero."""
    parts, first = [], 0
    for i, (nq, nk) in enumerate(zip(q_len, kv_len)):
        rows, first = q[first : first + nq], first + nq
        k, v = kv_of(i, nk)
        if nk:
            parts.append(attention(rows, k, v, x["sm_scale"], x.get("sinks")))
        else:
            nothing = torch.zeros(nq, q.shape[1], v.shape[-1], dtype=torch.float64)
            parts.append((nothing, torch.full((nq, q.shape[1]), -math.inf, dtype=torch.float64)))
    return tuple(torch.cat([p[o] for p in parts]) for o in range(min(len(p) for p in parts)))
