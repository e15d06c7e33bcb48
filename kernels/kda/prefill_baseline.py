import torch
from flashinfer.kda_decode import recurrent_kda


@torch.no_grad()
def run(q, k, v, g, beta, state, cu_seqlens, scale):
    # a request advances by one token a call: prompts whole are for sm_100, and for gates made in the kernel
    new_state, output = state.clone(), torch.empty_like(v)
    length = cu_seqlens[1:] - cu_seqlens[:-1]
    for t in range(int(length.max()) if len(length) else 0):
        running = (length > t).nonzero().flatten()
        rows = cu_seqlens[:-1][running] + t
        own = new_state[running]
        step, _ = recurrent_kda(
            q[rows][:, None], k[rows][:, None], v[rows][:, None], g[rows][:, None], beta[rows][:, None], scale=float(scale),
            initial_state=own, output_final_state=True, use_qk_l2norm_in_kernel=False,
        )
        output[rows], new_state[running] = step[:, 0], own
    return output, new_state
