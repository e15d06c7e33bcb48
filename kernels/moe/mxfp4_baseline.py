import flashinfer
import torch
from flashinfer.fused_moe import RoutingMethodType


# part: shuffled


@torch.no_grad()
def run(
    routing_logits, hidden_states, gemm1_weights, gemm1_weights_scale, gemm1_bias, gemm1_alpha, gemm1_beta, gemm1_clamp_limit,
    gemm2_weights, gemm2_weights_scale, gemm2_bias, local_expert_offset,
):
    w1, s1 = shuffled(interleaved(gemm1_weights), interleaved(gemm1_weights_scale))
    w2, s2 = shuffled(gemm2_weights, gemm2_weights_scale)
    rows = lambda t: torch.stack([flashinfer.shuffle_matrix_a(m[:, None], 128)[:, 0] for m in t])
    paired = torch.stack([flashinfer.reorder_rows_for_gated_act_gemm(m[:, None])[:, 0] for m in gemm1_bias])
    return flashinfer.trtllm_fp4_block_scale_moe(
        routing_logits, None, hidden_states, None, w1, s1, rows(paired), gemm1_alpha, gemm1_beta, gemm1_clamp_limit,
        w2, s2, rows(gemm2_bias), None, None, None, num_experts=@{num_experts}, top_k=@{top_k}, n_group=None, topk_group=None,
        intermediate_size=@{intermediate_size}, local_expert_offset=int(local_expert_offset),
        local_num_experts=@{num_local_experts}, routed_scaling_factor=None, routing_method_type=RoutingMethodType.Renormalize,
    )[0]
