def attend(q_nope, q_pe, ckv, kpe, sm_scale):
    """One request, float32: q [Tq, H, D], keys [Tkv, D]; the queries are the last tokens.

    The compressed keys are the values too. Returns [Tq, H, D] and the base-2
    log-sum-exp of the logits [Tq, H].
    """
    logits = torch.einsum("qhd,kd->hqk", q_nope, ckv) + torch.einsum("qhd,kd->hqk", q_pe, kpe)
    logits = logits * sm_scale
    position = torch.arange(len(q_nope), device=ckv.device) + len(ckv) - len(q_nope)
    future = torch.arange(len(ckv), device=ckv.device) > position[:, None]
    logits = logits.masked_fill(future, float("-inf"))
    lse = torch.logsumexp(logits, dim=-1) / math.log(2.0)
    # a query before the first key sees nothing
    weights = torch.softmax(logits, dim=-1).masked_fill(future.all(dim=-1, keepdim=True), 0)
    return torch.einsum("hqk,kd->qhd", weights, ckv), lse.T
