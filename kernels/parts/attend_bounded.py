WINDOW = @{window}  # tokens that a query sees, itself among them; 0: all before it
CAP = @{cap}  # logits are squeezed into (-CAP, CAP) by tanh; 0: as they are


def attend(q, k, v, sm_scale):
    """One request, float32: q [Tq, H, D], k [Tkv, KV, D], v [Tkv, KV, E].

    The queries are the last Tq of the Tkv tokens. Returns the output
    [Tq, H, E] and the base-2 log-sum-exp of the logits [Tq, H].
    """
    group = q.shape[1] // k.shape[1]
    k = k.repeat_interleave(group, dim=1)
    v = v.repeat_interleave(group, dim=1)
    logits = torch.einsum("qhd,khd->hqk", q, k) * sm_scale
    if CAP:
        logits = CAP * torch.tanh(logits / CAP)
    position = torch.arange(q.shape[0], device=q.device)[:, None] + k.shape[0] - q.shape[0]
    token = torch.arange(k.shape[0], device=q.device)
    hidden = token > position
    if WINDOW:
        hidden = hidden | (token <= position - WINDOW)
    logits = logits.masked_fill(hidden, float("-inf"))
    lse = torch.logsumexp(logits, dim=-1) / math.log(2.0)
    # a query before the first key sees nothing
    weights = torch.softmax(logits, dim=-1).masked_fill(hidden.all(dim=-1, keepdim=True), 0)
    return torch.einsum("hqk,khd->qhd", weights, v), lse.T
