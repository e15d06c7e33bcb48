from functools import lru_cache

import torch
from sglang.srt.layers.attention.linear.seg_la import SegLaMeta, seg_la_fwd


@lru_cache(maxsize=8)
def numbers(n, device):
    """Of n requests of a token; an engine has them before its layers run."""
    slots = torch.arange(n + 1, dtype=torch.int32, device=device)
    ones = torch.ones(n, dtype=torch.int32, device=device)
    return SegLaMeta(batch_size=n, max_q_length=1, q_offsets=slots, s_offsets=slots[:n], q_lengths=ones, s_scales=ones)


@torch.no_grad()
def run(q, k, v, state, slope):
    new_state = state.clone()
    return seg_la_fwd(q, k, v, new_state, slope, numbers(len(q), q.device), softmax_scale=1.0, decouple=True), new_state
