import torch


@torch.no_grad()
def run(v_a, s_a, v_b, s_b):
    assert v_a.shape[1:] == (@{num_heads}, @{head_dim})
    top = torch.maximum(s_a, s_b)
    # two empty parts: no logit at all
    shift = torch.where(torch.isinf(top), torch.zeros_like(top), top)
    w_a, w_b = torch.exp2(s_a - shift), torch.exp2(s_b - shift)
    total = w_a + w_b
    share_a = torch.where(total > 0, w_a / total, torch.zeros_like(total))
    share_b = torch.where(total > 0, w_b / total, torch.zeros_like(total))
    v_merged = v_a.float() * share_a[..., None] + v_b.float() * share_b[..., None]
    return v_merged.to(v_a.dtype), shift + torch.log2(total)
