import torch
from flashinfer.gdn_decode import gated_delta_rule_decode_pretranspose


@torch.no_grad()
def run(q, k, v, state, A_log, a, dt_bias, b, scale):
    new_state = state.clone()
    output, new_state = gated_delta_rule_decode_pretranspose(
        q, k, v, new_state, A_log, a, dt_bias, b, scale=float(scale), use_qk_l2norm=False
    )
    return output, new_state
