# Gated delta net (the linear attention of Qwen3-Next and Qwen3.5): prefill,
# decode, and several tokens at once for speculation; heads split by TP.
include "config";

def reads: ["linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim",
            "linear_conv_kernel_dim", "full_attention_interval", "layer_types"];

def shapes:
  if text.linear_num_key_heads == null then empty else
    need("linear_num_key_heads") as $k | need("linear_num_value_heads") as $v | need("linear_key_head_dim") as $d
    | if need("linear_value_head_dim") != $d or $v % $k != 0 then empty else
        .serving.tp[] as $tp | select($k % $tp == 0 and $v % $tp == 0) | ("prefill", "decode", "mtp") as $t
        | {template: $t, tp: $tp, role: "linear_attn",
           keys: ["linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim"],
           axes: ({num_q_heads: ($k / $tp), num_k_heads: ($k / $tp), num_v_heads: ($v / $tp), head_size: $d}
                  + (if $t == "decode" then {seq_len: 1} else {} end))}
      end
  end;
