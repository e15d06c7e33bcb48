import flashinfer
import torch


# part: workspace


# part: limits


@torch.no_grad()
def run(q, k, v, qo_indptr, kv_indptr, sm_scale):
    wrapper = flashinfer.BatchPrefillWithRaggedKVCacheWrapper(workspace(q.device), "NHD")
    wrapper.plan(
        qo_indptr, kv_indptr, @{num_qo_heads}, @{num_kv_heads}, @{head_dim},
        causal=True, q_data_type=q.dtype, kv_data_type=k.dtype, sm_scale=float(sm_scale), **LIMITS,
    )
    return wrapper.run(q, k, v, return_lse=True)
