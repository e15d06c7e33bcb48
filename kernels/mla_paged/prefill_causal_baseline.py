import flashinfer
import torch


# part: workspace


@torch.no_grad()
def run(q_nope, q_pe, ckv_cache, kpe_cache, qo_indptr, kv_indptr, kv_indices, kv_last_page_len, sm_scale):
    pages = kv_indptr[1:] - kv_indptr[:-1]
    lengths = ((pages - 1) * @{page_size} + kv_last_page_len).clamp(min=0).to(torch.int32)
    wrapper = flashinfer.mla.BatchMLAPagedAttentionWrapper(workspace(q_nope.device))
    wrapper.plan(
        qo_indptr, kv_indptr, kv_indices, lengths, @{num_qo_heads}, @{head_dim_ckv}, @{head_dim_kpe}, @{page_size},
        True, float(sm_scale), q_nope.dtype, ckv_cache.dtype,
    )
    return wrapper.run(q_nope, q_pe, ckv_cache, kpe_cache, return_lse=True)
