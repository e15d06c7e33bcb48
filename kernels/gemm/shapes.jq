# Dense projections as the published dataset has them: fused qkv, o_proj,
# fused gate_up, down, and the MoE router; whole matrices, not split by TP.
include "config";

def reads: ["hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
            "intermediate_size", "hidden_act", "hidden_activation", "num_experts",
            "num_local_experts", "n_routed_experts", "moe_num_experts"];

def g($n; $k; $role; $keys): {template: "gemm", axes: {N: $n, K: $k}, role: $role, keys: $keys};

# gate and up projections are fused where the activation multiplies them
def gated: (text | .hidden_act // .hidden_activation // "") | IN("silu", "gelu_pytorch_tanh", "gelu_tanh", "swiglu");

def attention:
  if is_mla or (has_full_attention | not) then empty else
    g((q_heads + 2 * kv_heads) * head_dim; hidden; "qkv_proj";
      ["num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size"]),
    g(hidden; q_heads * head_dim; "o_proj"; ["num_attention_heads", "head_dim", "hidden_size"])
  end;

def mlp:
  if is_moe then g(experts; hidden; "mlp.gate"; ["num_experts", "hidden_size"])
  elif gated then
    g(2 * need("intermediate_size"); hidden; "gate_up_proj"; ["intermediate_size", "hidden_size"]),
    g(hidden; need("intermediate_size"); "down_proj"; ["intermediate_size", "hidden_size"])
  else empty end;

def shapes: attention, mlp;
