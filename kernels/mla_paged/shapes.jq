# Latent attention over a paged cache of compressed keys, the key projection
# absorbed into the query; decode and prefill, for each TP and page size.
# With an indexer (index_topk) the sparse kernel of dsa_paged runs instead.
include "config";

def reads: ["kv_lora_rank", "qk_rope_head_dim", "num_attention_heads", "index_topk"];

def shapes:
  if (is_mla | not) or is_dsa then empty else
    q_heads as $h | need("kv_lora_rank") as $ckv | rope_dim as $kpe
    | tps($h)[] as $tp | .serving.page_sizes[] as $ps | ("decode", "prefill_causal") as $stage
    | {template: ($stage + (if $ps == 1 then "_ps1" else "" end)), tp: $tp, role: "attn_mqa",
       keys: ["num_attention_heads", "kv_lora_rank", "qk_rope_head_dim"],
       axes: {num_qo_heads: ($h / $tp), head_dim_ckv: $ckv, head_dim_kpe: $kpe, page_size: $ps}}
  end;
