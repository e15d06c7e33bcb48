import torch


# part: attend


@torch.no_grad()
def run(q, k_cache, v_cache, kv_indptr, kv_indices, sm_scale, sinks):
    batch_size, num_qo_heads, head_dim = q.shape
    assert num_qo_heads == @{num_qo_heads} and head_dim == @{head_dim}
    assert k_cache.shape[1:] == (@{page_size}, @{num_kv_heads}, @{head_dim})
    assert len(kv_indptr) == batch_size + 1
    assert len(kv_indices) == int(kv_indptr[-1])
    output = torch.zeros_like(q)
    for i in range(len(kv_indptr) - 1):
        pages = kv_indices[int(kv_indptr[i]) : int(kv_indptr[i + 1])]
        rows = slice(i, i + 1)
        if len(pages) == 0:
            continue
        k = k_cache[pages.long(), 0].float()
        v = v_cache[pages.long(), 0].float()
        output[rows] = attend(q[rows].float(), k, v, sm_scale, sinks.float()).to(q.dtype)
    return output
