def inputs(c, g):
    e, h, i, t = c["num_local_experts"], c["hidden_size"], c["intermediate_size"], 7
    total = c.get("num_experts", e)
    fp8 = lambda *shape: torch.randn(*shape, generator=g).to(torch.float8_e4m3fn)
    scale = lambda *shape: torch.rand(*shape, generator=g) / 16 + 0.01
    return {
        "routing_logits": logits(g, t, total).to(LOGITS),
        "routing_bias": torch.rand(total, generator=g).bfloat16() / 8,
        "hidden_states": fp8(t, h),
        "hidden_states_scale": scale(h // 128, t),
        "gemm1_weights": fp8(e, 2 * i, h),
        "gemm1_weights_scale": scale(e, 2 * i // 128, h // 128),
        "gemm2_weights": fp8(e, h, i),
        "gemm2_weights_scale": scale(e, h // 128, i // 128),
        "local_expert_offset": (total - e) // 2,
        "routed_scaling_factor": 2.5,
    }


def independent(c, x):
    def plain(w, s):
        return (w.float().unflatten(1, (-1, 128)).unflatten(0, (-1, 128)) * s[:, None, :, None]).flatten(2).flatten(0, 1)

    def expert(e, tokens):
        a, b = (tokens @ plain(x["gemm1_weights"][e], x["gemm1_weights_scale"][e]).T).chunk(2, -1)
        return a * b / (1 + (-b).exp()) @ plain(x["gemm2_weights"][e], x["gemm2_weights_scale"][e]).T

    tokens = (x["hidden_states"].float().unflatten(1, (-1, 128)) * x["hidden_states_scale"].T[..., None]).flatten(1)
    first, total = x.get("local_expert_offset", 0), x["routing_logits"].shape[1]
    return weighted(tokens, weights_of(x, total)[:, first : first + c["num_local_experts"]], expert)
