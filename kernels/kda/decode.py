import torch


# part: kda_step


# part: per_value_head


@torch.no_grad()
def run(q, k, v, g, beta, state, scale):
    batch_size, seq_len, num_v_heads, head_dim = v.shape
    assert seq_len == @{seq_len} and num_v_heads == @{num_v_heads} and head_dim == @{head_dim}
    assert q.shape[2] == @{num_q_heads}
    q, k = per_value_head(q, num_v_heads), per_value_head(k, num_v_heads)
    output, new_state = torch.empty_like(v), torch.empty_like(state)
    for i in range(batch_size):
        s, y = step(state[i].float(), q[i, 0], k[i, 0], v[i, 0].float(), g[i, 0].float().exp(), beta[i, 0].float())
        new_state[i] = s.to(state.dtype)
        output[i, 0] = (float(scale) * y).to(v.dtype)
    return output, new_state
