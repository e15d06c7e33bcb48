import math

import torch
import torch.nn.functional as F


# part: gates


# part: step


# part: per_value_head


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
