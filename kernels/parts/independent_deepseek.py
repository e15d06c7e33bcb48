def chosen_by(row, x):
    score = [1 / (1 + math.exp(-v)) for v in row]
    biased = [s + float(b) for s, b in zip(score, x["routing_bias"])]
    size = len(row) // @{n_group}
    group = lambda n: sum(sorted(biased[n * size : (n + 1) * size])[-2:])
    kept = sorted(range(@{n_group}), key=lambda n: -group(n))[: @{topk_group}]
    best = sorted((e for e in range(len(row)) if e // size in kept), key=lambda e: -biased[e])[: @{top_k}]
    total = sum(score[e] for e in best)
    return [(e, score[e] / total) for e in best]
