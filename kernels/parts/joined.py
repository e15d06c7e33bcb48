def joined(q_nope, q_pe, ckv_cache, kpe_cache):
    """Queries and keys with their rotary parts, as SGLang's cache keeps them: made once for the same tensors."""
    if joined.made is None or joined.made[0]() is not q_nope:
        q = torch.cat([q_nope, q_pe], dim=-1)
        k = torch.cat([ckv_cache, kpe_cache], dim=-1).view(-1, 1, q.shape[-1])
        joined.made = weakref.ref(q_nope), q, k
    return joined.made[1:]


joined.made = None
