# RMSNorm before attention and MLP, plain and with the residual added; q and k
# norms run over one head. Not split by TP.
include "config";

def reads: ["hidden_size", "rms_norm_eps", "layer_norm_epsilon", "norm_eps", "head_dim",
            "num_attention_heads", "use_qk_norm", "qk_layernorm", "q_lora_rank", "kv_lora_rank", "attention_head_dim", "qk_norm_type"];

# Gemma and the gated delta net models scale by 1 + weight: another kernel
# (sglang python/sglang/srt/models/{gemma2,gemma3_causal,qwen3_next,qwen3_5}.py)
def one_plus: model_type | test("^(gemma(2|3|3_text)?|qwen3_next|qwen3_5.*)$");

# Qwen3 and its descendants normalise q and k per head without a config key
# (sglang python/sglang/srt/models/qwen3.py); others say so.
def head_norm: (model_type | test("^(qwen3(_|$)|gemma[34])"))
  or ((text.use_qk_norm == true or text.qk_layernorm == true) and text.qk_norm_type != "per_layer");

def norm($n; $role; $keys): {template: (if one_plus then "gemma_rmsnorm" else "rmsnorm" end), axes: {hidden_size: $n}, params: {eps: eps},
                             role: $role, keys: ($keys + ["rms_norm_eps"])};

def shapes:
  if eps != null then
    norm(hidden; "input_layernorm"; ["hidden_size"]),
    (norm(hidden; "post_attention_layernorm"; ["hidden_size"]) | .template |= sub("rmsnorm$"; "fused_add_rmsnorm")),
    (if is_mla and text.q_lora_rank != null then norm(need("q_lora_rank"); "q_a_layernorm"; ["q_lora_rank"]) else empty end),
    (if is_mla then norm(need("kv_lora_rank"); "kv_a_layernorm"; ["kv_lora_rank"]) else empty end),
    (if head_norm and is_gqa then (attentions.d as $d | norm($d; "q_norm, k_norm"; ["head_dim"])) else empty end)
  else {unclear: "rms_norm_eps is missing: the norms are not listed"} end;
