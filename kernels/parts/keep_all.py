def keep_all(top_k, vocab_size):
    """A k outside 1 to vocab_size - 1 keeps every token."""
    return torch.where((top_k > 0) & (top_k < vocab_size), top_k, vocab_size)
