# Dense projections as the published dataset has them: whole matrices, not
# split by TP. Attention: fused qkv and o_proj, or the projections of MLA.
# MLP: fused gate_up and down of dense layers and of shared experts, up and
# down where nothing gates; the router of a mixture of experts.
include "config";

def reads: attention_reads + ["attention_head_dim", "intermediate_size", "intermediate_size_mlp", "share_expert_dim",
            "interleave_moe_layer_step", "enable_moe_block", "hidden_act", "hidden_activation", "mlp_hidden_act", "num_experts",
            "num_local_experts", "n_routed_experts", "moe_num_experts", "q_lora_rank", "kv_lora_rank",
            "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "first_k_dense_replace",
            "mlp_only_layers", "decoder_sparse_step", "moe_intermediate_size", "n_shared_experts",
            "shared_expert_intermediate_size", "layer_types", "hybrid_override_pattern", "attn_output_gate"];

def g($n; $k; $role; $keys): {template: "gemm", axes: {N: $n, K: $k}, role: $role, keys: $keys};

# gate and up projections are fused where the activation multiplies them
def gated: act | IN("silu", "gelu_pytorch_tanh", "gelu_tanh", "swiglu");

# A gate on the attention's output doubles the query's rows; Qwen3-Next and
# Qwen3.5 have it unless they say no (their SGLang model files).
def q_parts: if text.attn_output_gate == true
    or (text.attn_output_gate == null and (model_type | test("^qwen3_(next|5)"))) then 2 else 1 end;

def gqa:
  attentions as $a
  | g((q_parts * $a.q + (if $a.v_is_k then 1 else 2 end) * $a.kv) * $a.d; hidden; "qkv_proj"; attention_keys + ["hidden_size"]),
    g(hidden; $a.q * $a.d; "o_proj"; ["num_attention_heads", "head_dim", "hidden_size"]);

# q_a and kv_a (with the rope part of the key) are one matrix in SGLang
def mla:
  need("kv_lora_rank") as $ckv | q_heads as $h | (nope + rope_dim) as $qk | need("v_head_dim") as $v
  | (if text.q_lora_rank != null then
       g(need("q_lora_rank") + $ckv + rope_dim; hidden; "fused_qkv_a_proj_with_mqa";
         ["q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "hidden_size"]),
       g($h * $qk; need("q_lora_rank"); "q_b_proj";
         ["num_attention_heads", "qk_nope_head_dim", "qk_rope_head_dim", "q_lora_rank"])
     else
       g($h * $qk; hidden; "q_proj"; ["num_attention_heads", "qk_nope_head_dim", "qk_rope_head_dim", "hidden_size"]),
       g($ckv + rope_dim; hidden; "kv_a_proj_with_mqa"; ["kv_lora_rank", "qk_rope_head_dim", "hidden_size"])
     end),
    g($h * (nope + $v); $ckv; "kv_b_proj"; ["num_attention_heads", "qk_nope_head_dim", "v_head_dim", "kv_lora_rank"]),
    g(hidden; $h * $v; "o_proj"; ["num_attention_heads", "v_head_dim", "hidden_size"]);

def mlp($i; $role; $keys):
  if gated then
    g(2 * $i; hidden; $role + ".gate_up_proj"; $keys), g(hidden; $i; $role + ".down_proj"; $keys)
  elif act == "relu2" then
    g($i; hidden; $role + ".up_proj"; $keys), g(hidden; $i; $role + ".down_proj"; $keys)
  else empty end;

def shapes:
  (if is_mla then mla elif is_gqa then gqa else empty end),
  (if is_moe then g(experts; hidden; "mlp.gate"; ["num_experts", "hidden_size"]) else empty end),
  (if has_dense_layers then mlp(dense_intermediate; "mlp"; ["intermediate_size", "hidden_size"]) else empty end),
  (shared_intermediate as $s | if is_moe and $s != null
   then mlp($s; "mlp.shared_experts"; ["n_shared_experts", "moe_intermediate_size", "shared_expert_intermediate_size", "hidden_size"])
   else empty end);
