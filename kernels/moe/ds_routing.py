import torch
import torch.nn.functional as F

BLOCK = 128


# part: blocks


# part: expert


# part: route_deepseek


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
    local_expert_offset,
    routed_scaling_factor,
):
    assert routing_logits.shape[1] == @{num_experts}
    assert gemm1_weights.shape == (@{num_local_experts}, @{gemm1_out_size}, @{hidden_size})
    assert gemm2_weights.shape == (@{num_local_experts}, @{hidden_size}, @{intermediate_size})
    x = hidden_states.float() * hidden_states_scale.float().T.repeat_interleave(BLOCK, dim=1)
    chosen, weight = route(routing_logits, routing_bias, routed_scaling_factor)
    output = torch.zeros_like(x)
    for e in range(@{num_local_experts}):
        token, slot = torch.nonzero(chosen == e + int(local_expert_offset), as_tuple=True)
        if len(token) == 0:
            continue
        y = expert(x[token], gemm1_weights[e], gemm1_weights_scale[e], gemm2_weights[e], gemm2_weights_scale[e])
        output.index_add_(0, token, y * weight[token, slot, None])
    return output.to(torch.bfloat16)
