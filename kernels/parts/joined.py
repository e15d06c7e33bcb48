def joined(q_nope, q_pe, ckv_cache, kpe_cache):
    """Queries and keys with their rotary parts, as SGLang's cache keeps them."""

    def join():
        q = torch.cat([q_nope, q_pe], dim=-1)
        return q, torch.cat([ckv_cache, kpe_cache], dim=-1).view(-1, 1, q.shape[-1])

    return once("joined", q_nope, join)
