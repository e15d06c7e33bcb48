# Kimi delta attention: linear attention whose state decays by key element;
# heads split by TP.
include "config";

def reads: if text.linear_attn_config.kda_layers != null then ["linear_attn_config"] else [] end;

def shapes:
  (text.linear_attn_config | objects) as $l
  | if ($l.kda_layers | arrays | length) > 0 then
      ($l.num_heads | posint("linear_attn_config.num_heads")) as $h | ($l.head_dim | posint("linear_attn_config.head_dim")) as $d
      | tps($h)[] as $tp | ("prefill", "decode") as $t
      | {template: $t, tp: $tp, role: "linear_attn", keys: ["linear_attn_config"],
         axes: ({num_q_heads: ($h / $tp), num_v_heads: ($h / $tp), head_dim: $d} + (if $t == "decode" then {seq_len: 1} else {} end))}
        + (if $d | IN(64, 128) then {} else {fi_cannot: "the kernel has heads of 64 and 128 elements only"} end)
    else empty end;
