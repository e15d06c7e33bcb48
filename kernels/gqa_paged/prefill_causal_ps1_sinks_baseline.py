import flashinfer
import torch


# part: workspace


@torch.no_grad()
def run(q, k_cache, v_cache, qo_indptr, kv_indptr, kv_indices, sm_scale, sinks):
    last = (kv_indptr[1:] > kv_indptr[:-1]).to(torch.int32)
    wrapper = flashinfer.attention.BatchAttentionWithAttentionSinkWrapper(
        workspace(q.device), "NHD", q_data_type=q.dtype, kv_data_type=k_cache.dtype,
        head_dim_qk=@{head_dim}, head_dim_vo=@{head_dim}, window_left=@{window} - 1,
    )
    wrapper.plan(
        qo_indptr, kv_indptr, kv_indices, last, @{num_qo_heads}, @{num_kv_heads}, @{head_dim}, @{page_size},
        causal=True, window_left=@{window} - 1, q_data_type=q.dtype, kv_data_type=k_cache.dtype,
    )
    return wrapper.run(q, (k_cache, v_cache), sinks, float(sm_scale))
