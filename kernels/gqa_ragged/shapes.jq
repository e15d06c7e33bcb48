# Grouped query attention of a first prefill, K and V still ragged, for each TP.
include "config";

def reads: ["num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size", "layer_types"];

def shapes:
  if is_gqa | not then empty else
    q_heads as $q | kv_heads as $kv | head_dim as $d | tps($q)[] as $tp
    | {template: "prefill_causal", tp: $tp, role: "attn",
       keys: ["num_attention_heads", "num_key_value_heads", "head_dim"],
       axes: {num_qo_heads: ($q / $tp), num_kv_heads: kv_at($kv; $tp), head_dim: $d}}
  end;
