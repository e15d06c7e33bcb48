from functools import lru_cache

import torch
from sglang.srt.layers.attention.fla.kda import chunk_kda


# part: triton_states


@torch.no_grad()
def run(q, k, v, g, beta, state, cu_seqlens, scale):
    new_state = state.clone()
    q, k = (x.repeat_interleave(v.shape[1] // x.shape[1], dim=1) for x in (q, k))
    output = chunk_kda(
        q[None], k[None], v[None], g[None], beta[None], scale=float(scale), initial_state=new_state,
        initial_state_indices=numbers(len(cu_seqlens) - 1, v.device), cu_seqlens=cu_seqlens)
    return output[0], new_state
