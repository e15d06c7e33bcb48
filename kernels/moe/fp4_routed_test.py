# part: test_head


# part: test_moe


# part: test_fp4


CAPABILITY = (10, 0)


# part: independent_weight_output


def inputs(c, g):
    e, h, i, t, total = c["num_local_experts"], c["hidden_size"], c["intermediate_size"], 7, c["num_experts"]
    chosen = torch.stack([torch.randperm(total, generator=g)[: c["top_k"]] for _ in range(t)]).to(torch.int32)
    weight = torch.rand(t, c["top_k"], generator=g).bfloat16().view(torch.int16).to(torch.int32) & 0xFFFF
    return {
        "topk_ids": (chosen << 16) | weight,
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
    }


def independent(c, x):
    def expert(e, tokens):
        a, b = (tokens @ plain(x["gemm1_weights"][e], x["gemm1_weights_scale"][e]).T).chunk(2, -1)
        b = b * x["output1_scale_gate_scalar"][e].double()
        inner = a * b / (1 + (-b).exp()) * x["output1_scale_scalar"][e].double()
        return inner @ plain(x["gemm2_weights"][e], x["gemm2_weights_scale"][e]).T * x["output2_scale_scalar"][e].double()

    weight = torch.zeros(len(x["topk_ids"]), c["num_experts"], dtype=torch.float64)
    for t, row in enumerate(x["topk_ids"].tolist()):
        for packed in row:
            low = torch.tensor([packed & 0xFFFF], dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
            weight[t, packed >> 16] = float(low)
    first = x["local_expert_offset"]
    weight = weight[:, first : first + c["num_local_experts"]]
    return weighted(plain(x["hidden_states"], x["hidden_states_scale"]), weight, expert)


def agree(got, want):
    torch.testing.assert_close(got[0].float(), want[0].float(), rtol=2e-2, atol=2e-2 * float(want[0].abs().max()))


# part: test_tail
