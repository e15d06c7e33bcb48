# Grouped query attention over a paged KV cache, decode and causal prefill,
# for each TP (heads are split; a KV head is copied when there are fewer than
# TP) and each page size.
include "config";

def reads: ["num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size", "layer_types"];

def keys: ["num_attention_heads", "num_key_value_heads", "head_dim"];

def shapes:
  if has_sinks then {unclear: "attention with sinks and a sliding window: no template yet"}
  elif (is_mla | not) and text.q_lora_rank != null then
    {unclear: "attention with q_lora_rank but without kv_lora_rank: no template yet"}
  elif is_gqa | not then empty else
    . as $in | q_heads as $q | kv_heads as $kv | head_dim as $d
    | tps($q)[] as $tp | .serving.page_sizes[] as $ps | ("decode", "prefill_causal") as $stage
    | {template: ($stage + (if $ps == 1 then "_ps1" else "" end)), tp: $tp, role: "attn", keys: keys,
       axes: {num_qo_heads: ($q / $tp), num_kv_heads: kv_at($kv; $tp), head_dim: $d, page_size: $ps}}
  end;
