import torch
import torch.nn.functional as F

# part: e2m1


# part: route_renormalize


# part: weight_output


@torch.no_grad()
def run(
    routing_logits,
    routing_bias,
    hidden_states,
    hidden_states_scale,
    gemm1_weights,
    gemm1_weights_scale,
    gemm2_weights,
    gemm2_weights_scale,
    output1_scale_scalar,
    output1_scale_gate_scalar,
    output2_scale_scalar,
    local_expert_offset,
    routed_scaling_factor,
):
    """The kernel rounds the inner activation to fp4 between the two products; this does not."""
    assert routing_logits.shape[1] == @{num_experts}
    assert gemm1_weights.shape == (@{num_local_experts}, @{gemm1_out_size}, @{num_packed_hidden})
    assert gemm2_weights.shape == (@{num_local_experts}, @{hidden_size}, @{num_packed_intermediate})
    chosen, weight = route(routing_logits, routing_bias, routed_scaling_factor)
    x = scaled(hidden_states, hidden_states_scale)

    def expert(e, tokens):
        up, gate = (tokens @ scaled(gemm1_weights[e], gemm1_weights_scale[e]).T).chunk(2, dim=-1)
        inner = F.silu(gate * output1_scale_gate_scalar[e]) * up * output1_scale_scalar[e]
        return inner @ scaled(gemm2_weights[e], gemm2_weights_scale[e]).T * output2_scale_scalar[e]

    return experts(x, chosen, weight, int(local_expert_offset), expert)
