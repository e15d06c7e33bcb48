import math

import torch


@torch.no_grad()
def run(q_nope, q_pe, ckv_cache, kpe_cache, sparse_indices, sm_scale):
    num_tokens, num_qo_heads, head_dim_ckv = q_nope.shape
    assert num_qo_heads == @{num_qo_heads} and head_dim_ckv == @{head_dim_ckv}
    assert q_pe.shape[-1] == @{head_dim_kpe} and ckv_cache.shape[1] == @{page_size}
    assert sparse_indices.shape == (num_tokens, @{topk})
    ckv_all = ckv_cache.flatten(0, 1)
    kpe_all = kpe_cache.flatten(0, 1)
    output = torch.zeros_like(q_nope)
    lse = torch.full((num_tokens, num_qo_heads), -float("inf"), dtype=torch.float32, device=q_nope.device)
    for t in range(num_tokens):
        chosen = sparse_indices[t][sparse_indices[t] != -1].long()
        if len(chosen) == 0:
            continue
        ckv, kpe = ckv_all[chosen].float(), kpe_all[chosen].float()
        logits = (q_nope[t].float() @ ckv.T + q_pe[t].float() @ kpe.T) * sm_scale
        lse[t] = torch.logsumexp(logits, dim=-1) / math.log(2.0)
        output[t] = (torch.softmax(logits, dim=-1) @ ckv).to(q_nope.dtype)
    return output, lse
