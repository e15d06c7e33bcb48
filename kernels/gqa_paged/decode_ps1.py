import math

import torch


def attend(q, k, v, sm_scale):
    """One request, float32: q [Tq, H, D], k and v [Tkv, KV, D].

    The queries are the last Tq of the Tkv tokens. Returns the output
    [Tq, H, D] and the base-2 log-sum-exp of the logits [Tq, H].
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
def run(q, k_cache, v_cache, kv_indptr, kv_indices, sm_scale):
    batch_size, num_qo_heads, head_dim = q.shape
    assert num_qo_heads == @{num_qo_heads} and head_dim == @{head_dim}
    assert k_cache.shape[1:] == (@{page_size}, @{num_kv_heads}, @{head_dim})
    assert len(kv_indptr) == batch_size + 1
    assert len(kv_indices) == int(kv_indptr[-1])
    output = torch.zeros_like(q)
    lse = torch.full((batch_size, num_qo_heads), -float("inf"), dtype=torch.float32, device=q.device)
    for i in range(len(kv_indptr) - 1):
        pages = kv_indices[int(kv_indptr[i]) : int(kv_indptr[i + 1])]
        rows = slice(i, i + 1)
        if len(pages) == 0:
            continue
        k = k_cache[pages.long(), 0].float()
        v = v_cache[pages.long(), 0].float()
        out, lse[rows] = attend(q[rows].float(), k, v, sm_scale)
        output[rows] = out.to(q.dtype)
    return output, lse
