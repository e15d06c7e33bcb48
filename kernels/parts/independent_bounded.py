WINDOW, CAP = @{window}, @{cap}


def bounds(logits, q_pos, k_pos):
    if CAP:
        logits = CAP * torch.tanh(logits / CAP)
    seen = (k_pos <= q_pos) & ((q_pos - k_pos < WINDOW) if WINDOW else (k_pos >= 0))
    return torch.where(seen, logits, torch.full_like(logits, -math.inf))


def attention(q, k, v, scale, extra=None):
    """One request in double, a head at a time: q [Tq, H, D], k and v [Tk, KV, *]."""
    heads, out, lse = q.shape[1], [], []
    q_pos = torch.arange(len(q))[:, None] + len(k) - len(q)
    for h in range(heads):
        kv = h * k.shape[1] // heads
        logits = bounds(q[:, h].double() @ k[:, kv].double().T * scale, q_pos, torch.arange(len(k)))
        top = logits.amax(-1, keepdim=True)
        e = torch.exp(logits - top)
        out.append(e @ v[:, kv].double() / e.sum(-1, keepdim=True))
        lse.append(torch.log2(e.sum(-1)) + top[:, 0] / math.log(2))
    return torch.stack(out, 1), torch.stack(lse, 1)
