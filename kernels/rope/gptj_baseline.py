import flashinfer
import torch


@torch.no_grad()
def run(q, k, cos_sin_cache, positions):
    q_out, k_out = flashinfer.rope.apply_rope_with_cos_sin_cache(
        positions, q.flatten(1), k.flatten(1), @{head_size}, cos_sin_cache, is_neox=False
    )
    return q_out.view_as(q), k_out.view_as(k)
