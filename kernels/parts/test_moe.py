def small(definition):
    """The same with small matrices: the real ones take tens of gigabytes."""
    d = json.loads(json.dumps(definition))
    real, sizes = consts(definition), {"hidden": 384, "intermediate": 256}
    for a in real:
        for part, size in sizes.items():
            if part in a:
                d["axes"][a]["value"] = real[a] * size // real[f"{part}_size"]
    d["axes"]["gemm1_out_size"]["value"] = 2 * sizes["intermediate"]
    # the real sizes stand in what run() asserts, and nowhere else in it
    d["reference"] = re.sub(r"\n    assert .*", "", d["reference"])
    return d


def logits(g, tokens, experts):
    """No two are equal, in bfloat16 either: a tie may be broken either way."""
    rows = [torch.randperm(experts, generator=g) - experts // 2 for _ in range(tokens)]
    return torch.stack(rows) / 64


def weights_of(x, total):
    """Weight of every expert for every token, zero where not chosen."""
    w = torch.zeros(len(x["routing_logits"]), total, dtype=torch.float64)
    for t, row in enumerate(x["routing_logits"].double().tolist()):
        for e, weight in chosen_by(row, x):
            w[t, e] = weight * float(x.get("routed_scaling_factor", 1.0))
    return w
