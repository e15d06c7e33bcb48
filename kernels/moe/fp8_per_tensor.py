import torch
import torch.nn.functional as F


# part: route_renormalize


# part: weight_output


@torch.no_grad()
def run(
    routing_logits,
    routing_bias,
    hidden_states,
    gemm1_weights,
    output1_scales_scalar,
    output1_scales_gate_scalar,
    gemm2_weights,
    output2_scales_scalar,
    local_expert_offset,
    routed_scaling_factor,
):
    """The kernel rounds the inner activation to fp8 between the two products; this does not."""
    assert routing_logits.shape[1] == @{num_experts}
    assert gemm1_weights.shape == (@{num_local_experts}, @{gemm1_out_size}, @{hidden_size})
    assert gemm2_weights.shape == (@{num_local_experts}, @{hidden_size}, @{intermediate_size})
    chosen, weight = route(routing_logits, routing_bias, routed_scaling_factor)

    def expert(e, tokens):
        up, gate = (tokens @ gemm1_weights[e].float().T).chunk(2, dim=-1)
        inner = F.silu(gate * output1_scales_gate_scalar[e]) * up * output1_scales_scalar[e]
        return inner @ gemm2_weights[e].float().T * output2_scales_scalar[e]

    return experts(hidden_states.float(), chosen, weight, int(local_expert_offset), expert)
