import flashinfer
import torch


def swizzled(scales):
    """Scales in the order that the tensor cores read: tiles of 128 rows and 4 scales."""
    rows, cols = scales.shape
    padded = torch.zeros((rows + 127) // 128 * 128, (cols + 3) // 4 * 4, dtype=torch.uint8, device=scales.device)
    padded[:rows, :cols] = scales.view(torch.uint8)
    return flashinfer.block_scale_interleave(padded)


@torch.no_grad()
def run(a, b, a_descale, b_descale, alpha):
    factor = torch.tensor([float(alpha)], dtype=torch.float32, device=a.device)
    return flashinfer.gemm.mm_fp4(
        a.view(torch.uint8), b.view(torch.uint8).T, swizzled(a_descale), swizzled(b_descale).T, factor, torch.bfloat16
    )
