import flashinfer
import torch
from flashinfer.fused_moe import RoutingMethodType


# part: shuffled


@torch.no_grad()
def run(
    topk_ids, hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale, gemm2_weights, gemm2_weights_scale,
    output1_scale_scalar, output1_scale_gate_scalar, output2_scale_scalar, local_expert_offset,
):
    w1, s1 = shuffled(interleaved(gemm1_weights), interleaved(gemm1_weights_scale))
    w2, s2 = shuffled(gemm2_weights, gemm2_weights_scale)
    return flashinfer.fused_moe.trtllm_fp4_block_scale_routed_moe(
        topk_ids, None, hidden_states.view(torch.uint8), hidden_states_scale,
        w1, s1, None, None, None, None, w2, s2, None,
        output1_scale_scalar, output1_scale_gate_scalar, output2_scale_scalar, num_experts=@{num_experts}, top_k=@{top_k},
        intermediate_size=@{intermediate_size}, local_expert_offset=int(local_expert_offset),
        local_num_experts=@{num_local_experts}, routed_scaling_factor=None, n_group=None, topk_group=None,
        routing_method_type=RoutingMethodType.TopK,
    )[0]
