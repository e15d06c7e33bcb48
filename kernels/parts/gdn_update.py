@lru_cache(maxsize=8)
def sequences(n, length, device):
    """Where n sequences of that length begin, and their numbers; an engine has both before its layers run."""
    numbers = torch.arange(n + 1, dtype=torch.int32, device=device)
    return numbers * length, numbers[:n]


def update(q, k, v, state, slots, A_log, a, dt_bias, b, scale, **more):
    """SGLang's recurrent kernel, gates and all; it advances the states of these slots."""
    starts, numbers = sequences(v.shape[0], v.shape[1], v.device)
    out = fused_sigmoid_gating_delta_rule_update(
        A_log, a.flatten(0, 1), dt_bias, 1.0, 20.0, q.flatten(0, 1)[None], k.flatten(0, 1)[None], v.flatten(0, 1)[None],
        b.flatten(0, 1), state, numbers if slots is None else slots, scale=float(scale) or None, cu_seqlens=starts, **more)
    return out.view_as(v)
