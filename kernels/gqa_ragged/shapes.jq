# Grouped query attention of a first prefill, K and V still ragged, for each
# kind of layer and each TP. With sinks the paged kernel serves prefill too.
include "config";

def reads: attention_reads;

def shapes:
  if (is_gqa | not) or has_sinks then empty else
    . as $in | attentions as $a | ($in + {kind: $a} | variant) as $v | tps($a.q)[] as $tp
    | {template: ("prefill_causal" + (if $v.tag != "" then "_bounded" else "" end)), tp: $tp, role: "attn", keys: attention_keys,
       axes: {num_qo_heads: ($a.q / $tp), num_kv_heads: kv_at($a.kv; $tp), head_dim: $a.d}}
      + (if $v.tag == "" then {} else {params: {variant: $v.tag, window: $a.window, cap: $v.cap, bounds: $v.bounds}} end)
  end;
