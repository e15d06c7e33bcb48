def extend(q, k, v, qo_indptr, kv_indptr, kv_indices, last, page_size, sm_scale):
    """SGLang's prefill attention: k and v [slots, heads, dim]. The tokens of a call are apart from those before it."""

    def plan():
        queries = (qo_indptr[1:] - qo_indptr[:-1]).to(torch.int32)
        lengths = lengths_of(kv_indptr, last, page_size).to(torch.int32)
        indptr, at = slots(kv_indptr, kv_indices, lengths, page_size)
        before, seen = slots(kv_indptr, kv_indices, lengths - queries, page_size)
        mine = torch.cat([torch.arange(b - n, b) for b, n in zip(indptr.tolist()[1:], queries.tolist())]).to(q.device)
        return {"qo": qo_indptr.to(torch.int32), "before": before, "seen": seen, "k": k[at[mine]], "v": v[at[mine]],
                "longest": int(queries.max()), "ends": torch.empty(q.shape[:2], dtype=torch.float32, device=q.device)}

    p = once("plan", qo_indptr, plan)
    out = torch.empty(*q.shape[:2], v.shape[-1], dtype=q.dtype, device=q.device)
    extend_attention_fwd(
        q, p["k"], p["v"], out, k, v, p["qo"], p["before"], p["seen"], None, True, None, p["longest"], 1.0, 1.0,
        sm_scale=float(sm_scale), lse_extend=p["ends"],
    )
    if "lse" not in p:
        p["lse"] = p["ends"] * 1.4426950408889634
    return out, p["lse"]
