import torch
from sglang.srt.layers.attention.mamba.ops.mamba_ssm import selective_state_update


@torch.no_grad()
def run(state, x, dt, A, B, C, D, dt_bias, state_batch_indices):
    new_state, output = state.clone(), torch.zeros_like(x)
    selective_state_update(
        new_state, x, dt, A, B, C, D, dt_bias=dt_bias, dt_softplus=True, state_batch_indices=state_batch_indices, pad_slot_id=-1, out=output)
    return output, new_state
