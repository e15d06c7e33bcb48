# RMSNorm before attention and MLP, plain and with the residual added; q and k
# norms run over one head. Not split by TP.
include "config";

def reads: ["hidden_size", "rms_norm_eps", "layer_norm_epsilon", "norm_eps", "head_dim",
            "num_attention_heads", "use_qk_norm", "qk_layernorm"];

# gemma scales by 1 + weight: another kernel
def plain: eps != null and (model_type | startswith("gemma") | not);

# Qwen3 and its descendants normalise q and k per head without a config key
# (sglang python/sglang/srt/models/qwen3.py); others say so.
def head_norm: (model_type | test("^qwen3(_|$)")) or text.use_qk_norm == true or text.qk_layernorm == true;

def norm($n; $role; $keys): {template: "rmsnorm", axes: {hidden_size: $n}, params: {eps: eps},
                             role: $role, keys: ($keys + ["rms_norm_eps"])};

def shapes:
  if plain then
    norm(hidden; "input_layernorm"; ["hidden_size"]),
    (norm(hidden; "post_attention_layernorm"; ["hidden_size"]) | .template = "fused_add_rmsnorm"),
    (if head_norm and (is_mla | not) then norm(head_dim; "q_norm, k_norm"; ["head_dim"]) else empty end)
  else empty end;
