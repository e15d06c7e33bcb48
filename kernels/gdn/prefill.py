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
def run(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale):
    _, num_v_heads, head_size = v.shape
    assert num_v_heads == @{num_v_heads} and head_size == @{head_size}
    assert q.shape[1] == @{num_q_heads} and k.shape[1] == @{num_k_heads}
    scale = scale or 1.0 / math.sqrt(head_size)
    decay, beta = gates(A_log, a, dt_bias, b)
    q, k = per_value_head(q, num_v_heads), per_value_head(k, num_v_heads)
    output = torch.zeros_like(v)
    num_seqs = len(cu_seqlens) - 1
    new_state = torch.zeros((num_seqs, num_v_heads, head_size, head_size), dtype=torch.float32, device=v.device)
    for i in range(num_seqs):
        start, stop = int(cu_seqlens[i]), int(cu_seqlens[i + 1])
        if start == stop:
            continue
        s = torch.zeros_like(new_state[i]) if state is None else state[i].float()
        for t in range(start, stop):
            s, y = step(s, q[t], k[t], v[t].float(), decay[t], beta[t])
            output[t] = (scale * y).to(v.dtype)
        new_state[i] = s
    return output, new_state
