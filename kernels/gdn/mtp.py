import math

import torch
import torch.nn.functional as F


def gates(A_log, a, dt_bias, b):
    """Decay and update gate of each token and value head, float32."""
    decay = torch.exp(-torch.exp(A_log.float()) * F.softplus(a.float() + dt_bias.float()))
    return decay, torch.sigmoid(b.float())


def step(state, q, k, v, decay, beta):
    """One token, all heads: state [H, V, K], q and k [H, K], v [H, V], gates [H].

    The state forgets by decay, then moves by beta towards v in the direction
    of k. Returns the new state and its answer to q, [H, V].
    """
    state = state * decay[:, None, None]
    seen = torch.einsum("hvk,hk->hv", state, k)
    state = state + torch.einsum("hv,hk->hvk", (v - seen) * beta[:, None], k)
    return state, torch.einsum("hvk,hk->hv", state, q)


def per_value_head(x, heads):
    return x.float().repeat_interleave(heads // x.shape[-2], dim=-2)


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
