import flashinfer
import torch


@torch.no_grad()
def run(state, x, dt, A, B, C, D, dt_bias, state_batch_indices):
    # one value a head, spread with stride 0, as the kernel wants A, D, dt and dt_bias
    heads, dim, dstate = @{nheads}, @{head_dim}, @{dstate}
    new_state = state.clone()
    output = flashinfer.mamba.selective_state_update(
        new_state, x, dt[..., :1].expand(-1, heads, dim), A[:, :1, :1].expand(heads, dim, dstate), B, C,
        D[:, :1].expand(heads, dim), dt_bias=dt_bias[:, :1].expand(heads, dim), dt_softplus=True,
        state_batch_indices=state_batch_indices, pad_slot_id=-1,
    )
    return output.masked_fill((state_batch_indices < 0)[:, None, None], 0), new_state
