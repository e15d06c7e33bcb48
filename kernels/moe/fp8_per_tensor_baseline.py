import flashinfer
import torch
from flashinfer.fused_moe import RoutingMethodType

# part: method_renormalize
# part: on_output


@torch.no_grad()
def run(
    routing_logits, routing_bias, hidden_states, gemm1_weights, output1_scales_scalar, output1_scales_gate_scalar,
    gemm2_weights, output2_scales_scalar, local_expert_offset, routed_scaling_factor,
):
    tiles = lambda t: torch.stack([flashinfer.shuffle_matrix_a(m.view(torch.uint8), 128) for m in t]).view(t.dtype)
    rows = torch.stack([flashinfer.reorder_rows_for_gated_act_gemm(m) for m in gemm1_weights.view(torch.uint8)])
    return flashinfer.fused_moe.trtllm_fp8_per_tensor_scale_moe(
        routing_logits, routing_bias, hidden_states, tiles(rows.view(gemm1_weights.dtype)), output1_scales_scalar,
        output1_scales_gate_scalar, tiles(gemm2_weights), output2_scales_scalar, num_experts=@{num_experts}, top_k=@{top_k},
        intermediate_size=@{intermediate_size}, local_expert_offset=int(local_expert_offset),
        local_num_experts=@{num_local_experts}, routed_scaling_factor=float(routed_scaling_factor),
        use_routing_scales_on_input=ON_INPUT, **ROUTING,
    )
