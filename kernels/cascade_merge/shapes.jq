# What a cached prefix and the new tokens of a prefill answered, merged by
# their log-sum-exp; the heads are split by TP.
include "config";

def reads: ["num_attention_heads", "head_dim", "v_head_dim"];

def shapes:
  if is_dsa or has_sinks then empty
  elif is_mla then
    q_heads as $h | need("v_head_dim") as $d | tps($h)[] as $tp
    | {template: "merge_state", tp: $tp, role: "attn_mha", keys: ["num_attention_heads", "v_head_dim"],
       axes: {num_heads: ($h / $tp), head_dim: $d}}
  elif is_gqa then
    attentions as $a | tps($a.q)[] as $tp
    | {template: "merge_state", tp: $tp, role: "attn", keys: ["num_attention_heads", "head_dim"],
       axes: {num_heads: ($a.q / $tp), head_dim: $a.d}}
  else empty end;
