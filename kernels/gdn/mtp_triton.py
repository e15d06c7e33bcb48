from functools import lru_cache

import torch
from sglang.srt.layers.attention.fla.fused_sigmoid_gating_recurrent import fused_sigmoid_gating_delta_rule_update


# part: gdn_update


@torch.no_grad()
def run(q, k, v, initial_state, initial_state_indices, A_log, a, dt_bias, b, scale, intermediate_states_buffer=None):
    state = initial_state.clone()
    return update(q, k, v, state, initial_state_indices, A_log, a, dt_bias, b, scale, disable_state_update=True,
                  intermediate_states_buffer=intermediate_states_buffer,
                  intermediate_state_indices=initial_state_indices), state
