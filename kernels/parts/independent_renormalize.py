def chosen_by(row, x):
    best = sorted(range(len(row)), key=lambda e: -row[e])[: @{top_k}]
    z = [math.exp(row[e] - row[best[0]]) for e in best]
    return [(e, v / sum(z)) for e, v in zip(best, z)]
