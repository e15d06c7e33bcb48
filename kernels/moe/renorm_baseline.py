import flashinfer
import torch
from flashinfer.fused_moe import RoutingMethodType


@torch.no_grad()
def run(
    routing_logits, hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale, gemm2_weights, gemm2_weights_scale
):
    return flashinfer.fused_moe.trtllm_fp8_block_scale_moe(
        routing_logits, None, hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale,
        gemm2_weights, gemm2_weights_scale, @{num_local_experts}, @{top_k}, None, None, @{intermediate_size},
        0, @{num_local_experts}, None, routing_method_type=RoutingMethodType.Renormalize,
    )
