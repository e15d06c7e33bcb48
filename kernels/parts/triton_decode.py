def decode(q, k, v, kv_indptr, kv_indices, last, page_size, sm_scale, most):
    """SGLang's decode attention; k and v [slots, heads, dim], at most `most` splits of a request."""

    def plan():
        lengths = lengths_of(kv_indptr, last, page_size).to(torch.int32)
        indptr, at = slots(kv_indptr, kv_indices, lengths, page_size)
        splits = torch.empty(len(q), dtype=torch.int32, device=q.device)
        sms = torch.cuda.get_device_properties(q.device).multi_processor_count
        get_num_kv_splits_triton[(1,)](
            splits, lengths, len(q), 1, q.shape[1], k.shape[1], most, sms,
            MAX_NUM_SEQ=max(256, triton.next_power_of_2(len(q))),
        )
        parts = torch.empty(*q.shape[:2], most, v.shape[-1], dtype=torch.float32, device=q.device)
        lse = torch.full((*q.shape[:2], most), float("-inf"), dtype=torch.float32, device=q.device)
        return {"indptr": indptr, "at": at, "splits": splits, "parts": parts, "ends": lse}

    p = once("plan", kv_indptr, plan)
    out = torch.empty(*q.shape[:2], v.shape[-1], dtype=q.dtype, device=q.device)
    decode_attention_fwd(
        q, k, v, out, p["indptr"], p["at"], p["parts"], p["ends"], p["splits"], most, float(sm_scale), 1.0, 1.0
    )
    # it gives no log-sum-exp: that of its parts, for the comparison alone
    if "lse" not in p:
        p["lse"] = torch.logsumexp(p["ends"], dim=-1) * 1.4426950408889634
    return out, p["lse"]
