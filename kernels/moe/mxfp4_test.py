# part: test_head


# part: test_moe


# part: test_fp4


CAPABILITY = (10, 0)


# part: independent_renormalize


# part: independent_weight_output


def inputs(c, g):
    e, h, i, t, total = c["num_local_experts"], c["hidden_size"], c["intermediate_size"], 7, c["num_experts"]
    rnd = lambda *shape: torch.randn(*shape, generator=g)
    exponent = lambda *shape: torch.randint(120, 126, shape, generator=g, dtype=torch.uint8).view(torch.int8)
    return {
        "routing_logits": logits(g, t, total).bfloat16(),
        "hidden_states": rnd(t, h).bfloat16(),
        "gemm1_weights": fp4(g, e, 2 * i, h // 2),
        "gemm1_weights_scale": exponent(e, 2 * i, h // 32),
        "gemm1_bias": rnd(e, 2 * i),
        "gemm1_alpha": torch.full((e,), 1.702),
        "gemm1_beta": torch.ones(e),
        "gemm1_clamp_limit": torch.full((e,), 7.0),
        "gemm2_weights": fp4(g, e, h, i // 2),
        "gemm2_weights_scale": exponent(e, h, i // 32),
        "gemm2_bias": rnd(e, h),
        "local_expert_offset": (total - e) // 2,
    }


def independent(c, x):
    def power(b):
        return 2.0 ** (b.view(torch.uint8).double() - 127)

    def expert(e, tokens):
        y = tokens @ plain(x["gemm1_weights"][e], power(x["gemm1_weights_scale"][e])).T + x["gemm1_bias"][e].double()
        up, gate = y.chunk(2, -1)
        gate, up = torch.minimum(gate, torch.tensor(7.0)), up.clip(-7, 7)
        inner = (up + 1) * gate / (1 + (-1.702 * gate).exp())
        return inner @ plain(x["gemm2_weights"][e], power(x["gemm2_weights_scale"][e])).T + x["gemm2_bias"][e].double()

    first = x["local_expert_offset"]
    weight = weights_of(x, c["num_experts"])[:, first : first + c["num_local_experts"]]
    return weighted(x["hidden_states"].double(), weight, expert)


def agree(got, want):
    torch.testing.assert_close(got[0].float(), want[0].float(), rtol=2e-2, atol=2e-2 * float(want[0].abs().max()))


# part: test_tail
