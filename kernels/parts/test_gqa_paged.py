def inputs(c, g):
    q_len, kv_len = requests(DECODE)
    total, x = pages_of(kv_len, c["page_size"], g)
    rnd = lambda *shape: torch.randn(*shape, generator=g).bfloat16()
    x["q"] = rnd(sum(q_len), c["num_qo_heads"], c["head_dim"])
    x["k_cache"], x["v_cache"] = (rnd(total, c["page_size"], c["num_kv_heads"], c["head_dim"]) for _ in "kv")
    x["qo_indptr"], x["sm_scale"] = indptr(q_len), 1 / math.sqrt(c["head_dim"])
    x["sinks"] = torch.randn(c["num_qo_heads"], generator=g)
    return x


def independent(c, x):
    kv_of = lambda i, n: (tokens(x["k_cache"], x, i, n), tokens(x["v_cache"], x, i, n))
    return by_request(x, x["q"], kv_of, *requests(DECODE))
