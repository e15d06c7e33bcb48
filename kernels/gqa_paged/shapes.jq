# Grouped query attention over a paged KV cache, decode and causal prefill,
# for each kind of layer (windows, capped logits, sinks), each TP (heads are
# split; a KV head is copied when there are fewer than TP) and each page size.
include "config";

def reads: attention_reads;

def shapes:
  if (is_mla | not) and text.q_lora_rank != null then
    {unclear: "attention with q_lora_rank but without kv_lora_rank: no template yet"}
  elif is_gqa | not then empty else
    . as $in | attentions as $a | ($in + {kind: $a} | variant) as $v
    | tps($a.q)[] as $tp | .serving.page_sizes[] as $ps | ("decode", "prefill_causal") as $stage
    | {template: ($stage + (if $ps == 1 then "_ps1" else "" end)
                  + (if has_sinks then "_sinks" elif $v.tag != "" then "_bounded" else "" end)),
       tp: $tp, role: "attn", keys: attention_keys,
       axes: {num_qo_heads: ($a.q / $tp), num_kv_heads: kv_at($a.kv; $tp), head_dim: $a.d, page_size: $ps}}
      + (if $v.tag == "" then {} else
           {params: {variant: $v.tag, window: $a.window, cap: $v.cap,
                     bounds: (if has_sinks and $v.bounds != "" then "; " + $v.bounds else $v.bounds end)}} end)
  end;
