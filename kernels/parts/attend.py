def attend(q, k, v, sm_scale):
    """One request, float32: q [Tq, H, D], k [Tkv, KV, D], v [Tkv, KV, E].

    The queries are the last Tq of the Tkv tokens. Returns the output
    [Tq, H, E] and the base-2 log-sum-exp of the logits [Tq, H].
    """
    group = q.shape[1] // k.shape[1]
    k = k.repeat_interleave(group, dim=1)
    v = v.repeat_interleave(group, dim=1)
    logits = torch.einsum("qhd,khd->hqk", q, k) * sm_scale
    position = torch.arange(q.shape[0], device=q.device) + k.shape[0] - q.shape[0]
    future = torch.arange(k.shape[0], device=q.device) > position[:, None]
    logits = logits.masked_fill(future, float("-inf"))
    lse = torch.logsumexp(logits, dim=-1) / math.log(2.0)
    weights = torch.softmax(logits, dim=-1)
    # a query before the first key sees nothing
    weights = weights.masked_fill(future.all(dim=-1, keepdim=True), 0)
    return torch.einsum("hqk,khd->qhd", weights, v), lse.T
