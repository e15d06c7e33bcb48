import torch
from flashinfer.quantization.fp8_quantization import per_token_group_quant_8bit


@torch.no_grad()
def run(x):
    return per_token_group_quant_8bit(x, @{group_size}, dst_dtype=torch.float8_e4m3fn)
