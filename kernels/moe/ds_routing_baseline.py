import flashinfer
import torch
from flashinfer.fused_moe import RoutingMethodType


@torch.no_grad()
def run(
    routing_logits, routing_bias, hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale,
    gemm2_weights, gemm2_weights_scale, local_expert_offset, routed_scaling_factor,
):
    return flashinfer.fused_moe.trtllm_fp8_block_scale_moe(
        routing_logits, routing_bias, hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale,
        gemm2_weights, gemm2_weights_scale, @{num_experts}, @{top_k}, @{n_group}, @{topk_group}, @{intermediate_size},
        int(local_expert_offset), @{num_local_experts}, float(routed_scaling_factor),
        routing_method_type=RoutingMethodType.DeepSeekV3,
    )
