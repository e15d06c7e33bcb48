# Gated activation of dense layers and shared experts; the rows are split by TP.
include "config";

def reads: ["intermediate_size", "intermediate_size_mlp", "hidden_act", "hidden_activation", "mlp_hidden_act",
            "moe_intermediate_size", "n_shared_experts", "shared_expert_intermediate_size", "share_expert_dim"];

def template: act
  | {"silu": "silu_and_mul", "swiglu": "silu_and_mul", "gelu_pytorch_tanh": "gelu_tanh_and_mul", "gelu_tanh": "gelu_tanh_and_mul"}[.];

def shapes:
  template as $t
  | if $t == null then empty else
      ((if has_dense_layers then {i: dense_intermediate, role: "mlp", keys: ["intermediate_size"]} else empty end),
       (shared_intermediate as $s | if is_moe and $s != null then
          {i: $s, role: "mlp.shared_experts", keys: ["n_shared_experts", "moe_intermediate_size", "shared_expert_intermediate_size"]}
        else empty end)) as $m
      | tps($m.i)[] as $tp
      | {template: $t, tp: $tp, role: ($m.role + ".act_fn"), keys: ($m.keys + ["hidden_act"]),
         axes: {hidden_size: (2 * $m.i / $tp), intermediate_size: ($m.i / $tp)}}
    end;
