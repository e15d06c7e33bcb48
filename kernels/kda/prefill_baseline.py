import torch
from flashinfer.kda_decode import recurrent_kda


def aligned(x):
    """A piece of few heads may begin anywhere; the kernel loads 16 bytes at once."""
    return x if x.data_ptr() % 16 == 0 else x.clone()


@torch.no_grad()
def run(q, k, v, g, beta, state, cu_seqlens, scale):
    # a request advances by one token a call: prompts whole are for sm_100, and for gates made in the kernel.
    # Tokens are put side by side step by step, the longest request first: so a step is a piece of each tensor
    starts = cu_seqlens.tolist()
    lengths = [b - a for a, b in zip(starts, starts[1:])]
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    running, rows = [], []
    for t in range(max(lengths, default=0)):
        now = [starts[i] + t for i in order if lengths[i] > t]
        running.append(len(now))
        rows += now
    rows = torch.tensor(rows, dtype=torch.long, device=q.device)
    order = torch.tensor(order, dtype=torch.long, device=q.device)
    by_step = [x[rows][:, None] for x in (q, k, v, g, beta)]
    states, steps, at = state[order], torch.empty_like(v), 0
    for n in running:
        step, _ = recurrent_kda(
            *(aligned(x[at:at + n]) for x in by_step), scale=float(scale), initial_state=states[:n], output_final_state=True,
            use_qk_l2norm_in_kernel=False,
        )
        steps[at:at + n] = step[:, 0]
        at += n
    output, new_state = torch.empty_like(v), torch.empty_like(state)
    output[rows], new_state[order] = steps[:at], states
    return output, new_state
