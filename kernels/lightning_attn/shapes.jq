# Lightning attention: linear attention with a fixed decay a head (MiniMax);
# attn_type_list has 0 for such a layer, 1 for softmax. Heads split by TP.
include "config";

def reads: ["attn_type_list", "layernorm_linear_attention_alpha", "layernorm_linear_attention_beta",
            "layernorm_full_attention_alpha", "layernorm_full_attention_beta", "layernorm_mlp_alpha", "layernorm_mlp_beta"];

def shapes:
  if ([text.attn_type_list | arrays | .[]] | any(. == 0)) then
    q_heads as $h | head_dim as $d | tps($h)[] as $tp | ("prefill", "decode") as $t
    | {template: $t, tp: $tp, role: "linear_attn", keys: ["num_attention_heads", "head_dim", "attn_type_list"],
       axes: {num_heads: ($h / $tp), head_dim: $d}}
  else empty end;
