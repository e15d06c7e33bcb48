import torch

# part: e2m1


# part: route_renormalize


# part: weight_output


def power(exponent):
    """The scales that e8m0 bytes stand for."""
    return torch.exp2(exponent.view(torch.uint8).float() - 127)


@torch.no_grad()
def run(
    routing_logits,
    hidden_states,
    gemm1_weights,
    gemm1_weights_scale,
    gemm1_bias,
    gemm1_alpha,
    gemm1_beta,
    gemm1_clamp_limit,
    gemm2_weights,
    gemm2_weights_scale,
    gemm2_bias,
    local_expert_offset,
):
    assert routing_logits.shape[1] == @{num_experts}
    assert gemm1_weights.shape == (@{num_local_experts}, @{gemm1_out_size}, @{num_packed_hidden})
    assert gemm2_weights.shape == (@{num_local_experts}, @{hidden_size}, @{num_packed_intermediate})
    chosen, weight = route(routing_logits, None, 1.0)

    def expert(e, tokens):
        y = tokens @ scaled(gemm1_weights[e], power(gemm1_weights_scale[e])).T + gemm1_bias[e]
        up, gate = y.chunk(2, dim=-1)
        limit = gemm1_clamp_limit[e]
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
        inner = gate * torch.sigmoid(gemm1_alpha[e] * gate) * (up + gemm1_beta[e])
        return inner @ scaled(gemm2_weights[e], power(gemm2_weights_scale[e])).T + gemm2_bias[e]

    return experts(hidden_states.float(), chosen, weight, int(local_expert_offset), expert)
