import torch

# part: e2m1


@torch.no_grad()
def run(a, b, a_descale, b_descale, alpha):
    assert a.shape[1] == b.shape[1] == @{K_packed} and b.shape[0] == @{N}
    return (scaled(a, a_descale) @ scaled(b, b_descale).T * float(alpha)).to(torch.bfloat16)
