# New keys and values put into the paged KV cache; KV heads are split by TP.
include "config";

def reads: ["num_key_value_heads", "head_dim"];

def shapes:
  if is_gqa | not then empty else
    attentions as $a | tps($a.q)[] as $tp
    | {template: "append", tp: $tp, role: "attn", keys: ["num_key_value_heads", "head_dim"],
       axes: {num_kv_heads: kv_at($a.kv; $tp), head_dim: $a.d}}
  end;
