WINDOW = @{window}  # tokens that a query sees, itself among them; 0: all before it


def attend(q, k, v, sm_scale, sinks):
    """One request, float32: q [Tq, H, D], k and v [Tkv, KV, D], sinks [H].

    The queries are the last Tq of the Tkv tokens. A head's sink takes part in
    the softmax as one more logit without a value.
    """
    group = q.shape[1] // k.shape[1]
    k = k.repeat_interleave(group, dim=1)
    v = v.repeat_interleave(group, dim=1)
    logits = torch.einsum("qhd,khd->hqk", q, k) * sm_scale
    position = torch.arange(q.shape[0], device=q.device)[:, None] + k.shape[0] - q.shape[0]
    token = torch.arange(k.shape[0], device=q.device)
    hidden = token > position
    if WINDOW:
        hidden = hidden | (token <= position - WINDOW)
    logits = logits.masked_fill(hidden, float("-inf"))
    sink = sinks[:, None, None].expand(-1, q.shape[0], 1)
    weights = torch.softmax(torch.cat([logits, sink], dim=-1), dim=-1)[..., :-1]
    return torch.einsum("hqk,khd->qhd", weights, v)
