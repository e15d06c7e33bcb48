import math

import torch


# part: attend


@torch.no_grad()
def run(q, k, v, qo_indptr, kv_indptr, sm_scale):
    total_q, num_qo_heads, _ = q.shape
    assert q.shape[1:] == (@{num_qo_heads}, @{qk_dim})
    assert k.shape[1:] == (@{num_kv_heads}, @{qk_dim}) and v.shape[-1] == @{vo_dim}
    assert total_q == int(qo_indptr[-1])
    assert len(k) == int(kv_indptr[-1])
    output = torch.zeros((total_q, num_qo_heads, @{vo_dim}), dtype=q.dtype, device=q.device)
    lse = torch.full((total_q, num_qo_heads), -float("inf"), dtype=torch.float32, device=q.device)
    for i in range(len(qo_indptr) - 1):
        rows = slice(int(qo_indptr[i]), int(qo_indptr[i + 1]))
        kv = slice(int(kv_indptr[i]), int(kv_indptr[i + 1]))
        if rows.start == rows.stop or kv.start == kv.stop:
            continue
        out, lse[rows] = attend(q[rows].float(), k[kv].float(), v[kv].float(), sm_scale)
        output[rows] = out.to(q.dtype)
    return output, lse
