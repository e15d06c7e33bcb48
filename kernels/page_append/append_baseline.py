import flashinfer
import torch


@torch.no_grad()
def run(append_key, append_value, batch_indices, positions, k_cache, v_cache, kv_indices, kv_indptr, kv_last_page_len):
    new_k_cache, new_v_cache = k_cache.clone(), v_cache.clone()
    flashinfer.page.append_paged_kv_cache(
        append_key, append_value, batch_indices, positions, (new_k_cache, new_v_cache), kv_indices, kv_indptr, kv_last_page_len
    )
    return new_k_cache, new_v_cache
