# part: test_head


PAGE = 4


def inputs(c, g):
    had, new = [0, 3, 6], [5, 1, 4]
    pages = [-(-(a + b) // PAGE) for a, b in zip(had, new)]
    rnd = lambda *shape: torch.randn(*shape, c["num_kv_heads"], c["head_dim"], generator=g).bfloat16()
    return {
        "append_key": rnd(sum(new)),
        "append_value": rnd(sum(new)),
        "batch_indices": torch.repeat_interleave(torch.arange(3), torch.tensor(new)).to(torch.int32),
        "positions": torch.cat([torch.arange(a, a + b) for a, b in zip(had, new)]).to(torch.int32),
        "k_cache": rnd(sum(pages) + 2, PAGE),
        "v_cache": rnd(sum(pages) + 2, PAGE),
        "kv_indices": torch.randperm(sum(pages) + 2, generator=g)[: sum(pages)].to(torch.int32),
        "kv_indptr": indptr(pages),
        "kv_last_page_len": torch.tensor([(a + b - 1) % PAGE + 1 for a, b in zip(had, new)], dtype=torch.int32),
    }


def independent(c, x):
    """A token at a time."""
    caches = x["k_cache"].clone(), x["v_cache"].clone()
    for t, (i, at) in enumerate(zip(x["batch_indices"].tolist(), x["positions"].tolist())):
        page = int(x["kv_indices"][int(x["kv_indptr"][i]) + at // PAGE])
        for cache, new in zip(caches, (x["append_key"], x["append_value"])):
            cache[page, at % PAGE] = new[t]
    return caches


# part: test_tail
