import math

import torch


# part: mla_attend


@torch.no_grad()
def run(q_nope, q_pe, ckv_cache, kpe_cache, kv_indptr, kv_indices, sm_scale):
    batch_size, num_qo_heads, head_dim_ckv = q_nope.shape
    assert num_qo_heads == @{num_qo_heads} and head_dim_ckv == @{head_dim_ckv}
    assert q_pe.shape[-1] == @{head_dim_kpe} and ckv_cache.shape[1] == @{page_size}
    assert len(kv_indptr) == batch_size + 1
    assert len(kv_indices) == int(kv_indptr[-1])
    output = torch.zeros_like(q_nope)
    lse = torch.full((batch_size, num_qo_heads), -float("inf"), dtype=torch.float32, device=q_nope.device)
    for i in range(len(kv_indptr) - 1):
        pages = kv_indices[int(kv_indptr[i]) : int(kv_indptr[i + 1])]
        rows = slice(i, i + 1)
        if len(pages) == 0:
            continue
        ckv = ckv_cache[pages.long(), 0].float()
        kpe = kpe_cache[pages.long(), 0].float()
        out, lse[rows] = attend(q_nope[rows].float(), q_pe[rows].float(), ckv, kpe, sm_scale)
        output[rows] = out.to(q_nope.dtype)
    return output, lse
