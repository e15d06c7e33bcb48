import torch
from flashinfer.triton.norm import rms_norm


@torch.no_grad()
def run(hidden_states, weight):
    output = torch.empty_like(hidden_states)
    rms_norm(hidden_states, weight, output, @{eps})
    return output
