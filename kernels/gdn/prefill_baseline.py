import torch
import torch.nn.functional as F
from flashinfer.gdn_prefill import chunk_gated_delta_rule


@torch.no_grad()
def run(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale):
    decay = torch.exp(-A_log.exp() * F.softplus(a.float() + dt_bias))
    return chunk_gated_delta_rule(
        q, k, v, g=decay, beta=torch.sigmoid(b.float()), scale=float(scale), initial_state=state,
        output_final_state=True, cu_seqlens=cu_seqlens,
    )
