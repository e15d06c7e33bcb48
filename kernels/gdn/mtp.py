import math

import torch
import torch.nn.functional as F


# part: gates


# part: step


# part: per_value_head


@torch.no_grad()
def run(q, k, v, initial_state, initial_state_indices, A_log, a, dt_bias, b, scale, intermediate_states_buffer=None):
    batch_size, seq_len, num_v_heads, head_size = v.shape
    assert seq_len > 1 and num_v_heads == @{num_v_heads} and head_size == @{head_size}
    assert q.shape[2] == @{num_q_heads} and k.shape[2] == @{num_k_heads}
    scale = scale or 1.0 / math.sqrt(head_size)
    decay, beta = gates(A_log, a, dt_bias, b)
    q, k = per_value_head(q, num_v_heads), per_value_head(k, num_v_heads)
    output = torch.empty_like(v)
    for i in range(batch_size):
        slot = int(initial_state_indices[i])
        state = initial_state[slot].float()
        for t in range(seq_len):
            state, y = step(state, q[i, t], k[i, t], v[i, t].float(), decay[i, t], beta[i, t])
            output[i, t] = (scale * y).to(v.dtype)
            if intermediate_states_buffer is not None:
                intermediate_states_buffer[slot, t] = state
    # the pool itself is only advanced once tokens have been accepted
    return output, initial_state.clone()
