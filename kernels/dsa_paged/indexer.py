import torch


def unpack(cache):
    """Keys [pages, page_size, D] in float32.

    A page's bytes are the fp8 elements of all its tokens, then one float32
    scale a token; the declared shape does not show that.
    """
    pages, page_size, _, width = cache.shape
    dim = width - 4
    raw = cache.reshape(pages, page_size * width).view(torch.uint8)
    keys = raw[:, : page_size * dim].contiguous().view(torch.float8_e4m3fn)
    scale = raw[:, page_size * dim :].contiguous().view(torch.float32)
    return keys.reshape(pages, page_size, dim).float() * scale.reshape(pages, page_size, 1)


@torch.no_grad()
def run(q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table):
    batch_size, heads, dim = q_index_fp8.shape
    page_size = k_index_cache_fp8.shape[1]
    assert heads == @{num_index_heads} and dim == @{index_head_dim} and page_size == @{page_size}
    keys = unpack(k_index_cache_fp8)
    topk_indices = torch.full((batch_size, @{topk}), -1, dtype=torch.int32, device=q_index_fp8.device)
    for i in range(batch_size):
        length = int(seq_lens[i])
        if length == 0:
            continue
        pages = block_table[i, : -(-length // page_size)].long()
        k = keys[pages].flatten(0, 1)[:length]
        scores = torch.relu(q_index_fp8[i].float() @ k.T)
        total = (scores * weights[i][:, None]).sum(dim=0)
        best = torch.topk(total, min(@{topk}, length)).indices
        token = pages[best // page_size] * page_size + best % page_size
        topk_indices[i, : len(best)] = token.to(torch.int32)
    return (topk_indices,)
