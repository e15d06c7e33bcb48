# part: test_head


# part: test_moe


CAPABILITY = (10, 0)


# part: independent_renormalize


# part: independent_weight_output


def inputs(c, g):
    e, h, i, t, total = c["num_local_experts"], c["hidden_size"], c["intermediate_size"], 7, c["num_experts"]
    fp8 = lambda *shape: torch.randn(*shape, generator=g).to(torch.float8_e4m3fn)
    return {
        "routing_logits": logits(g, t, total).bfloat16(),
        "routing_bias": torch.rand(total, generator=g).bfloat16() / 8,
        "hidden_states": fp8(t, h),
        "gemm1_weights": fp8(e, 2 * i, h),
        "output1_scales_scalar": torch.rand(e, generator=g) / 64,
        "output1_scales_gate_scalar": torch.rand(e, generator=g) / 16,
        "gemm2_weights": fp8(e, h, i),
        "output2_scales_scalar": torch.rand(e, generator=g) / 8,
        "local_expert_offset": (total - e) // 2,
        "routed_scaling_factor": 1.0,
    }


def independent(c, x):
    def expert(e, tokens):
        a, b = (tokens @ x["gemm1_weights"][e].double().T).chunk(2, -1)
        b = b * x["output1_scales_gate_scalar"][e].double()
        inner = a * b / (1 + (-b).exp()) * x["output1_scales_scalar"][e].double()
        return inner @ x["gemm2_weights"][e].double().T * x["output2_scales_scalar"][e].double()

    first = x["local_expert_offset"]
    weight = weights_of(x, c["num_experts"])[:, first : first + c["num_local_experts"]]
    return weighted(x["hidden_states"].double(), weight, expert)


def agree(got, want):
    torch.testing.assert_close(got[0].float(), want[0].float(), rtol=2e-2, atol=2e-2 * float(want[0].abs().max()))


# part: test_tail
