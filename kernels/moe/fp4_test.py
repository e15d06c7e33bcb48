# part: test_head


# part: test_moe


# part: test_fp4


CAPABILITY = (10, 0)


# part: independent_renormalize


# part: independent_weight_output


def inputs(c, g):
    e, h, i, t, total = c["num_local_experts"], c["hidden_size"], c["intermediate_size"], 7, c["num_experts"]
    return {
        "routing_logits": logits(g, t, total).bfloat16(),
        "routing_bias": torch.rand(total, generator=g).bfloat16() / 8,
        "hidden_states": fp4(g, t, h // 2),
        "hidden_states_scale": scales(g, t, h // 16),
        "gemm1_weights": fp4(g, e, 2 * i, h // 2),
        "gemm1_weights_scale": scales(g, e, 2 * i, h // 16),
        "gemm2_weights": fp4(g, e, h, i // 2),
        "gemm2_weights_scale": scales(g, e, h, i // 16),
        "output1_scale_scalar": torch.rand(e, generator=g) / 64,
        "output1_scale_gate_scalar": torch.rand(e, generator=g) / 8,
        "output2_scale_scalar": torch.rand(e, generator=g) / 8,
        "local_expert_offset": (total - e) // 2,
        "routed_scaling_factor": 2.5,
    }


def independent(c, x):
    def expert(e, tokens):
        a, b = (tokens @ plain(x["gemm1_weights"][e], x["gemm1_weights_scale"][e]).T).chunk(2, -1)
        b = b * x["output1_scale_gate_scalar"][e].double()
        inner = a * b / (1 + (-b).exp()) * x["output1_scale_scalar"][e].double()
        return inner @ plain(x["gemm2_weights"][e], x["gemm2_weights_scale"][e]).T * x["output2_scale_scalar"][e].double()

    first = x["local_expert_offset"]
    weight = weights_of(x, c["num_experts"])[:, first : first + c["num_local_experts"]]
    return weighted(plain(x["hidden_states"], x["hidden_states_scale"]), weight, expert)


def agree(got, want):
    torch.testing.assert_close(got[0].float(), want[0].float(), rtol=2e-2, atol=2e-2 * float(want[0].abs().max()))


# part: test_tail
