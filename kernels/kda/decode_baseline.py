import torch
from flashinfer.kda_decode import recurrent_kda


@torch.no_grad()
def run(q, k, v, g, beta, state, scale):
    new_state = state.clone()
    output, _ = recurrent_kda(
        q, k, v, g, beta, scale=float(scale), initial_state=new_state, output_final_state=True, use_qk_l2norm_in_kernel=False
    )
    return output, new_state
