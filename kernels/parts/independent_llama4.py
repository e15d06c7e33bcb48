def chosen_by(row, x):
    best = max(range(len(row)), key=lambda e: row[e])
    return [(best, 1 / (1 + math.exp(-row[best])))]
