def step(state, q, k, v, decay, beta):
    """One token, all heads: state [H, V, K], q, k and decay [H, K], v [H, V], beta [H].

    Each key element forgets by its own decay, then the state moves by beta
    towards v in the direction of k. Returns the new state and its answer to q.
    """
    state = state * decay[:, None, :]
    seen = torch.einsum("hvk,hk->hv", state, k)
    state = state + torch.einsum("hv,hk->hvk", (v - seen) * beta[:, None], k)
    return state, torch.einsum("hvk,hk->hv", state, q)
