WINDOW = @{window}


def attention(q, k, v, scale, sinks):
    """One request in double, a query and a head at a time."""
    out = torch.zeros(len(q), q.shape[1], v.shape[2], dtype=torch.float64)
    for t in range(len(q)):
        last = len(k) - len(q) + t + 1
        first = max(0, last - WINDOW) if WINDOW else 0
        for h in range(q.shape[1]):
            kv = h * k.shape[1] // q.shape[1]
            e = torch.exp(k[first:last, kv].double() @ q[t, h].double() * scale)
            out[t, h] = e @ v[first:last, kv].double() / (e.sum() + math.exp(float(sinks[h])))
    return (out,)
