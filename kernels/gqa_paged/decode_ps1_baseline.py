import flashinfer
import torch


# part: workspace


# part: limits


@torch.no_grad()
def run(q, k_cache, v_cache, kv_indptr, kv_indices, sm_scale):
    last = (kv_indptr[1:] > kv_indptr[:-1]).to(torch.int32)
    wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(workspace(q.device), "NHD")
    wrapper.plan(
        kv_indptr, kv_indices, last, @{num_qo_heads}, @{num_kv_heads}, @{head_dim}, @{page_size},
        q_data_type=q.dtype, kv_data_type=k_cache.dtype, sm_scale=float(sm_scale), **LIMITS,
    )
    return wrapper.run(q, (k_cache, v_cache), return_lse=True)
