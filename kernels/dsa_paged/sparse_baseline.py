import flashinfer
import torch


@torch.no_grad()
def run(q_nope, q_pe, ckv_cache, kpe_cache, sparse_indices, sm_scale):
    """The chosen tokens as pages of one token: a paged attention of page size 1 without a mask."""
    chosen = sparse_indices >= 0
    count = chosen.sum(dim=1, dtype=torch.int32)
    indptr = torch.zeros(len(count) + 1, dtype=torch.int32, device=count.device)
    indptr[1:] = count.cumsum(0)
    wrapper = flashinfer.mla.BatchMLAPagedAttentionWrapper(torch.empty(256 << 20, dtype=torch.uint8, device=q_nope.device))
    wrapper.plan(
        torch.arange(len(count) + 1, dtype=torch.int32, device=count.device), indptr, sparse_indices[chosen], count,
        @{num_qo_heads}, @{head_dim_ckv}, @{head_dim_kpe}, 1, False, float(sm_scale), q_nope.dtype, ckv_cache.dtype,
    )
    return wrapper.run(
        q_nope, q_pe, ckv_cache.reshape(-1, 1, @{head_dim_ckv}), kpe_cache.reshape(-1, 1, @{head_dim_kpe}), return_lse=True
    )
