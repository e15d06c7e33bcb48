# part: test_head


PAGES = 60


def inputs(c, g):
    page, dim = c["page_size"], c["index_head_dim"]
    keys = torch.randn(PAGES, page * dim, generator=g).to(torch.float8_e4m3fn).view(torch.uint8)
    scale = (torch.rand(PAGES, page, generator=g) + 0.5).view(torch.uint8).reshape(PAGES, -1)
    return {
        "q_index_fp8": torch.randn(3, c["num_index_heads"], dim, generator=g).to(torch.float8_e4m3fn),
        "k_index_cache_fp8": torch.cat([keys, scale], 1).reshape(PAGES, page, 1, dim + 4).view(torch.int8),
        "weights": torch.randn(3, c["num_index_heads"], generator=g),
        "seq_lens": torch.tensor([0, 5, min(3000, 47 * page)], dtype=torch.int32),
        "block_table": torch.stack([torch.randperm(PAGES, generator=g)[:47] for _ in range(3)]).to(torch.int32),
    }


def independent(c, x):
    """The best tokens of each request as a set, scored in double all at once."""
    page, dim = c["page_size"], c["index_head_dim"]
    raw = x["k_index_cache_fp8"].view(torch.uint8).flatten(1)
    key = raw[:, : page * dim].contiguous().view(torch.float8_e4m3fn).double().reshape(-1, dim)
    key = key * raw[:, page * dim :].contiguous().view(torch.float32).double().reshape(-1, 1)
    score = torch.einsum("bhd,kd->bhk", x["q_index_fp8"].double(), key).clamp(min=0)
    score = torch.einsum("bh,bhk->bk", x["weights"].double(), score)
    sets = []
    for s, n, table in zip(score, x["seq_lens"].tolist(), x["block_table"].long()):
        token = (table[:, None] * page + torch.arange(page)).flatten()[:n]
        sets.append(set(token[s[token].argsort(descending=True)[: c["topk"]]].tolist()))
    return (sets,)


def agree(got, want):
    """The order among the chosen is free."""
    for row, chosen in zip(got[0].tolist(), want[0]):
        assert {t for t in row if t >= 0} == chosen


# part: test_tail
