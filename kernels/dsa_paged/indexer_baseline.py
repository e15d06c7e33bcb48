import flashinfer
import torch


@torch.no_grad()
def run(q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table):
    """Scores in PyTorch; FlashInfer chooses the best and looks up their places."""
    page, dim = @{page_size}, @{index_head_dim}
    raw = k_index_cache_fp8.view(torch.uint8).reshape(len(k_index_cache_fp8), -1)
    key = raw[:, : page * dim].contiguous().view(torch.float8_e4m3fn).float().reshape(-1, page, dim)
    key = key * raw[:, page * dim :].contiguous().view(torch.float32)[..., None]
    rows = key[block_table.long()].flatten(1, 2)
    score = torch.relu(torch.einsum("bhd,bkd->bhk", q_index_fp8.float(), rows))
    score = torch.einsum("bh,bhk->bk", weights, score)
    place = block_table[..., None] * page + torch.arange(page, dtype=torch.int32, device=score.device)
    place = place.flatten(1).to(torch.int32).contiguous()
    score = score.masked_fill(torch.arange(score.shape[1], device=score.device) >= seq_lens[:, None], -float("inf"))
    return (flashinfer.top_k_page_table_transform(score, place, seq_lens, @{topk}),)
