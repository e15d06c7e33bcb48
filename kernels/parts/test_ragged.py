def inputs(c, g):
    q_len, kv_len = requests(False)
    rnd = lambda *shape: torch.randn(*shape, generator=g).bfloat16()
    return {
        "q": rnd(sum(q_len), c["num_qo_heads"], c[QK]),
        "k": rnd(sum(kv_len), c["num_kv_heads"], c[QK]),
        "v": rnd(sum(kv_len), c["num_kv_heads"], c[VO]),
        "qo_indptr": indptr(q_len),
        "kv_indptr": indptr(kv_len),
        "sm_scale": 0.1,
    }


def independent(c, x):
    at = x["kv_indptr"].tolist()
    kv_of = lambda i, n: (x["k"][at[i] : at[i + 1]], x["v"][at[i] : at[i + 1]])
    return by_request(x, x["q"], kv_of, *requests(False))
