def step(state, q, k, v, decay, beta):
    """One token, all heads: state [H, V, K], q and k [H, K], v [H, V], gates [H].

    The state forgets by decay, then moves by beta towards v in the direction
    of k. Returns the new state and its answer to q, [H, V].
    """
    state = state * decay[:, None, None]
    seen = torch.einsum("hvk,hk->hv", state, k)
    state = state + torch.einsum("hv,hk->hvk", (v - seen) * beta[:, None], k)
    return state, torch.einsum("hvk,hk->hv", state, q)
