def experts(x, chosen, weight, first, expert):
    """The weighted sum over this rank's chosen experts; expert(e, tokens) answers for one."""
    output = torch.zeros_like(x)
    for e in range(@{num_local_experts}):
        token, slot = torch.nonzero(chosen == e + first, as_tuple=True)
        if len(token):
            output.index_add_(0, token, expert(e, x[token]) * weight[token, slot, None])
    return output.to(torch.bfloat16)
