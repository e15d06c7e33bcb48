import math

import torch
import torch.nn.functional as F


# part: gates


# part: step


# part: per_value_head


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
