# Latent attention of a first prefill, keys and values expanded again.
include "config";

def reads: ["kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "num_attention_heads"];

def shapes:
  if (is_mla | not) or is_dsa then empty else
    q_heads as $h | (nope + rope_dim) as $qk | need("v_head_dim") as $vo | tps($h)[] as $tp
    | {template: "prefill_causal", tp: $tp, role: "attn_mha",
       keys: ["num_attention_heads", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"],
       axes: {num_qo_heads: ($h / $tp), num_kv_heads: ($h / $tp), qk_dim: $qk, vo_dim: $vo}}
  end;
