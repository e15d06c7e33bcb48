import torch


@torch.no_grad()
def run(q, k, v, state, slope, cu_seqlens):
    assert q.shape[1:] == (@{num_heads}, @{head_dim})
    decay = torch.exp(-slope.float())[:, None, None]
    output, new_state = torch.zeros_like(q), state.clone()
    for i in range(len(cu_seqlens) - 1):
        s = state[i].float()
        for t in range(int(cu_seqlens[i]), int(cu_seqlens[i + 1])):
            s = s * decay + torch.einsum("hk,hv->hkv", k[t].float(), v[t].float())
            output[t] = torch.einsum("hk,hkv->hv", q[t].float(), s).to(q.dtype)
        new_state[i] = s
    return output, new_state
