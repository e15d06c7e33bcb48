import math

import torch


def attend(q, k, v, sm_scale):
    """One request, float32: q [Tq, H, D], k [Tkv, KV, D], v [Tkv, KV, E].

    The queries are the last Tq of the Tkv tokens. Returns the output
    [Tq, H, E] and the base-2 log-sum-exp of the logits [Tq, H].
    """
    group = q.shape[1] // k.shape[1]
    k = k.repeat_interleave(group, dim=1)
    v = v.repeat_interleave(group, dim=1)
    logits = torch.einsum("qhd,khd->hqk", q, k) * sm_scale
    position = torch.arange(q.shape[0], device=q.device) + k.shape[0] - q.shape[0]
    future = torch.arange(k.shape[0], device=q.device) > position[:, None]
    logits = logits.masked_fill(future, float("-inf"))
    lse = torch.logsumexp(logits, dim=-1) / math.log(2.0)
    weights = torch.softmax(logits, dim=-1)
    # a query before the first key sees nothing
    weights = torch.nan_to_num(weights)
    return torch.einsum("hqk,khd->qhd", weights, v), lse.T

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
