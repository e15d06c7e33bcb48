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
def run(q, k, v, state, A_log, a, dt_bias, b, scale):
    batch_size, seq_len, num_v_heads, head_size = v.shape
    assert seq_len == 1 and num_v_heads == @{num_v_heads} and head_size == @{head_size}
    assert q.shape[2] == @{num_q_heads} and k.shape[2] == @{num_k_heads}
    scale = scale or 1.0 / math.sqrt(head_size)
    decay, beta = gates(A_log, a, dt_bias, b)
    q, k = per_value_head(q, num_v_heads), per_value_head(k, num_v_heads)
    output = torch.empty_like(v)
    new_state = torch.empty((batch_size, num_v_heads, head_size, head_size), dtype=torch.float32, device=v.device)
    for i in range(batch_size):
        before = torch.zeros_like(new_state[i]) if state is None else state[i].float()
        new_state[i], y = step(before, q[i, 0], k[i, 0], v[i, 0].float(), decay[i, 0], beta[i, 0])
        output[i, 0] = (scale * y).to(v.dtype)
    return output, new_state
