import torch
from flashinfer.kda_decode import recurrent_kda


@torch.no_grad()
def run(q, k, v, g, beta, state, cu_seqlens, scale):
    new_state = state.clone()
    output, _ = recurrent_kda(
        q[None], k[None], v[None], g[None], beta[None], scale=float(scale), initial_state=new_state,
        output_final_state=True, use_qk_l2norm_in_kernel=False, cu_seqlens=cu_seqlens.to(torch.int32),
    )
    return output[0], new_state
