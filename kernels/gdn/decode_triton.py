from functools import lru_cache

import torch
from sglang.srt.layers.attention.fla.fused_sigmoid_gating_recurrent import fused_sigmoid_gating_delta_rule_update


# part: gdn_update


@torch.no_grad()
def run(q, k, v, state, A_log, a, dt_bias, b, scale):
    new_state = state.clone()
    return update(q, k, v, new_state, None, A_log, a, dt_bias, b, scale), new_state
