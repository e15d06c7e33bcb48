import weakref

import torch
import triton
from sglang.srt.layers.attention.triton_ops.decode_attention import decode_attention_fwd
from sglang.srt.layers.attention.triton_ops.metadata import get_num_kv_splits_triton


# part: triton_plan


# part: triton_decode


@torch.no_grad()
def run(q_nope, q_pe, ckv_cache, kpe_cache, kv_indptr, kv_indices, kv_last_page_len, sm_scale):
    q, k = joined(q_nope, q_pe, ckv_cache, kpe_cache)
    return decode(q, k, k[..., :@{head_dim_ckv}], kv_indptr, kv_indices, kv_last_page_len, @{page_size}, sm_scale, 128)


# part: joined
