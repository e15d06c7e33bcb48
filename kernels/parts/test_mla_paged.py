def inputs(c, g):
    q_len, kv_len = requests(DECODE)
    total, x = pages_of(kv_len, c["page_size"], g)
    rnd = lambda *shape: torch.randn(*shape, generator=g).bfloat16()
    x["q_nope"] = rnd(sum(q_len), c["num_qo_heads"], c["head_dim_ckv"]) / 4
    x["q_pe"] = rnd(sum(q_len), c["num_qo_heads"], c["head_dim_kpe"]) / 4
    x["ckv_cache"] = rnd(total, c["page_size"], c["head_dim_ckv"])
    x["kpe_cache"] = rnd(total, c["page_size"], c["head_dim_kpe"])
    x["qo_indptr"], x["sm_scale"] = indptr(q_len), 0.1
    return x


def independent(c, x):
    """One key head of ckv and kpe side by side, its first part the value."""

    def kv_of(i, n):
        ckv, kpe = tokens(x["ckv_cache"], x, i, n), tokens(x["kpe_cache"], x, i, n)
        return torch.cat([ckv, kpe], -1)[:, None], ckv[:, None]

    return by_request(x, torch.cat([x["q_nope"], x["q_pe"]], -1), kv_of, *requests(DECODE))
