import weakref

import torch
from sglang.srt.layers.attention.triton_ops.extend_attention import extend_attention_fwd


# part: triton_plan


# part: triton_extend


@torch.no_grad()
def run(q, k_cache, v_cache, qo_indptr, kv_indptr, kv_indices, sm_scale):
    return extend(
        q, k_cache.flatten(0, 1), v_cache.flatten(0, 1), qo_indptr, kv_indptr, kv_indices, None, 1, sm_scale
    )
