# part: test_head


def inputs(c, g):
    pages = 4096 // c["page_size"]
    rnd = lambda *shape: torch.randn(*shape, generator=g).bfloat16()
    chosen = torch.stack([torch.randperm(4096, generator=g)[: c["topk"]] for _ in range(3)]).to(torch.int32)
    chosen[0, 5:] = -1
    chosen[1] = -1
    return {
        "q_nope": rnd(3, c["num_qo_heads"], c["head_dim_ckv"]) / 4,
        "q_pe": rnd(3, c["num_qo_heads"], c["head_dim_kpe"]) / 4,
        "ckv_cache": rnd(pages, c["page_size"], c["head_dim_ckv"]),
        "kpe_cache": rnd(pages, c["page_size"], c["head_dim_kpe"]),
        "sparse_indices": chosen,
        "sm_scale": 0.1,
    }


def independent(c, x):
    """torch's own attention over the chosen tokens, in double."""
    key = torch.cat([x["ckv_cache"].flatten(0, 1), x["kpe_cache"].flatten(0, 1)], -1).double()
    out = []
    for q, chosen in zip(torch.cat([x["q_nope"], x["q_pe"]], -1).double(), x["sparse_indices"].long()):
        k = key[chosen[chosen >= 0]].expand(len(q), -1, -1)
        o = F.scaled_dot_product_attention(q[:, None], k, k[..., : c["head_dim_ckv"]], scale=x["sm_scale"])
        out.append(o[:, 0] if k.shape[1] else torch.zeros_like(o[:, 0]))
    return torch.stack(out)


# part: test_tail
