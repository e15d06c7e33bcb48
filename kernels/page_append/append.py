import torch


@torch.no_grad()
def run(append_key, append_value, batch_indices, positions, k_cache, v_cache, kv_indices, kv_indptr, kv_last_page_len):
    assert append_key.shape[1:] == (@{num_kv_heads}, @{head_dim})
    page_size = k_cache.shape[1]
    position = positions.long()
    page = kv_indices[kv_indptr[batch_indices.long()].long() + position // page_size].long()
    new_k_cache, new_v_cache = k_cache.clone(), v_cache.clone()
    new_k_cache[page, position % page_size] = append_key
    new_v_cache[page, position % page_size] = append_value
    return new_k_cache, new_v_cache
