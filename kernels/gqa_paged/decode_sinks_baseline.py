import flashinfer
import torch


# part: workspace


@torch.no_grad()
def run(q, k_cache, v_cache, kv_indptr, kv_indices, kv_last_page_len, sm_scale, sinks):
    qo_indptr = torch.arange(len(q) + 1, dtype=torch.int32, device=q.device)
    last = kv_last_page_len
    wrapper = flashinfer.attention.BatchAttentionWithAttentionSinkWrapper(
        workspace(q.device), "NHD", q_data_type=q.dtype, kv_data_type=k_cache.dtype,
        head_dim_qk=@{head_dim}, head_dim_vo=@{head_dim}, window_left=@{window} - 1,
    )
    wrapper.plan(
        qo_indptr, kv_indptr, kv_indices, last, @{num_qo_heads}, @{num_kv_heads}, @{head_dim}, @{page_size},
        causal=True, window_left=@{window} - 1, q_data_type=q.dtype, kv_data_type=k_cache.dtype,
    )
    return wrapper.run(q, (k_cache, v_cache), sinks, float(sm_scale))
