import torch
from flashinfer.gdn_decode import gated_delta_rule_mtp


@torch.no_grad()
def run(q, k, v, initial_state, initial_state_indices, A_log, a, dt_bias, b, scale, intermediate_states_buffer=None):
    return gated_delta_rule_mtp(
        q, k, v, initial_state.clone(), initial_state_indices, A_log, a, dt_bias, b, scale=float(scale),
        intermediate_states_buffer=intermediate_states_buffer, disable_state_update=True, use_qk_l2norm=False,
    )
