from functools import lru_cache

import torch
import torch.nn.functional as F
from sglang.srt.layers.attention.fla.chunk import chunk_gated_delta_rule


# part: triton_states


@torch.no_grad()
def run(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale):
    log_decay = -A_log.exp() * F.softplus(a.float() + dt_bias)
    new_state = state.clone()
    output = chunk_gated_delta_rule(
        q[None], k[None], v[None], log_decay[None], torch.sigmoid(b.float())[None], scale=float(scale) or None,
        initial_state=new_state, initial_state_indices=numbers(len(cu_seqlens) - 1, v.device), cu_seqlens=cu_seqlens)[0]
    return output[0], new_state
