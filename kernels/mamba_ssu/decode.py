import torch
import torch.nn.functional as F


@torch.no_grad()
def run(state, x, dt, A, B, C, D, dt_bias, state_batch_indices):
    assert x.shape[1:] == (@{nheads}, @{head_dim})
    assert B.shape[1:] == (@{ngroups}, @{dstate})
    group = x.shape[1] // B.shape[1]
    step = F.softplus(dt.float() + dt_bias.float())
    new_state = state.clone()
    output = torch.zeros_like(x)
    for i, slot in enumerate(state_batch_indices.tolist()):
        if slot < 0:
            continue
        b = B[i].float().repeat_interleave(group, dim=0)[:, None]
        c = C[i].float().repeat_interleave(group, dim=0)[:, None]
        decay = torch.exp(A.float() * step[i][..., None])
        s = state[slot].float() * decay + (step[i] * x[i].float())[..., None] * b
        new_state[slot] = s.to(state.dtype)
        output[i] = ((s * c).sum(dim=-1) + x[i].float() * D.float()).to(x.dtype)
    return output, new_state
