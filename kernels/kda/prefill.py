import torch


# part: kda_step


# part: per_value_head


@torch.no_grad()
def run(q, k, v, g, beta, state, cu_seqlens, scale):
    _, num_v_heads, head_dim = v.shape
    assert num_v_heads == @{num_v_heads} and head_dim == @{head_dim}
    assert q.shape[1] == @{num_q_heads}
    q, k = per_value_head(q, num_v_heads), per_value_head(k, num_v_heads)
    output, new_state = torch.zeros_like(v), torch.empty_like(state)
    for i in range(len(cu_seqlens) - 1):
        s = state[i].float()
        for t in range(int(cu_seqlens[i]), int(cu_seqlens[i + 1])):
            s, y = step(s, q[t], k[t], v[t].float(), g[t].float().exp(), beta[t].float())
            output[t] = (float(scale) * y).to(v.dtype)
        new_state[i] = s.to(state.dtype)
    return output, new_state
