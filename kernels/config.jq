# config.jq - reading a model's config.json the same way in every folder.
#
# A rule that sees something it does not understand yields {unclear: SENTENCE},
# which joins the keys that no rule read.
# The rules in OP/shapes.jq get {config, serving} as input and yield one
# object for each kernel needed:
#   {template, axes: {const axis: integer}, params: {...}, tp, ep, role, keys}
# axes fill the constants of OP/TEMPLATE.json, params its other placeholders;
# role is the layer that calls it; keys are the config keys that it rests on.
# Whatever a rule reads stands in its `reads`, so that keys which no rule
# read can be named (they are what was not understood).

def refuse(m): error("onboard: " + m);

# The language model's part: multimodal configs nest it.
# What it leaves out has the value that the model's configuration class gives
# it, as published with the model (transformers, by model_type).
def class_defaults: {
  "gemma2": {sliding_window: 4096, sliding_window_pattern: 2, attn_logit_softcapping: 50, head_dim: 256},
  "gemma3_text": {sliding_window_pattern: 6, vocab_size: 262208, num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256,
                  rms_norm_eps: 1e-6, rope_theta: 1000000, hidden_activation: "gelu_pytorch_tanh",
                  query_pre_attn_scalar: 256, sliding_window: 4096},
  "cohere2": {sliding_window: 4096, sliding_window_pattern: 4},
  "glm4_moe": {rms_norm_eps: 1e-5, scoring_func: "sigmoid", n_group: 1, topk_group: 1, norm_topk_prob: true},
  "minimax_m2": {rotary_dim: 64, rope_theta: 5000000, scoring_func: "sigmoid", n_group: 1, topk_group: 1},
  "qwen3_5_moe_text": {norm_topk_prob: true},
  "nemotron_h": {layer_norm_epsilon: 1e-5}
};

def text:
  .config as $c
  | (($c.text_config // $c.language_config // $c.llm_config // $c.thinker_config.text_config // {})
     | if type == "object" then . else {} end) as $t
  | ($c + $t) as $both
  | (class_defaults[$both.model_type | strings] // {}) + $both;

def posint($k):
  if type == "number" and . == floor and . > 0 and . < 1e9 then .
  else refuse("key '\($k)' is \(tojson | .[0:60]), not a positive whole number") end;

# A key that must be there.
def need($k):
  text[$k] as $v
  | if $v == null then refuse("key '\($k)' is missing") else $v | posint($k) end;

# A key with a value to take when it is absent or null.
def opt($k; d):
  text[$k] as $v | if $v == null then d else $v | posint($k) end;

def hidden: need("hidden_size");
def q_heads: need("num_attention_heads");
def kv_heads: opt("num_key_value_heads"; q_heads);
def head_dim:
  opt("head_dim"; opt("attention_head_dim";
    if hidden % q_heads == 0 then hidden / q_heads
    else refuse("key 'head_dim' is missing, and hidden_size \(hidden) is no multiple of num_attention_heads \(q_heads)") end));
def eps:
  (text | .rms_norm_eps // .layer_norm_epsilon // .norm_eps) as $v
  | if $v == null then null
    elif ($v | type) == "number" and $v > 0 and $v < 1 then $v
    else refuse("key 'rms_norm_eps' is \($v | tojson | .[0:60]), not between 0 and 1") end;

def model_type: text.model_type // "" | if type == "string" then . else "" end;
def architectures: (.config.architectures // []) | if type == "array" then map(strings) else [] end;

def act: text | .hidden_act // .hidden_activation // .mlp_hidden_act // "";
def experts: text | .num_experts // .num_local_experts // .n_routed_experts // .moe_num_experts // 0
  | if type == "array" then .[0] else . end | if type == "number" then . else 0 end;
def is_moe: experts > 1;
def is_encoder: (model_type | test("^(bert|roberta|vit|clip|siglip)$"));

# Layers whose kind is listed: true if any layer attends to earlier tokens.
def is_softmax_layer: IN("full_attention", "attention", "sliding_attention", "chunked_attention", 1);
def has_attention:
  text.layer_types as $l | text.hybrid_override_pattern as $p | text.attn_type_list as $a
  | if ($p | type) == "string" then ($p | contains("*"))
    else ([$l, $a | arrays | .[]] | if length > 0 then any(is_softmax_layer) else true end) end;

# Multi-head latent attention; with index_topk only the chosen tokens are seen.
def is_mla: text.kv_lora_rank != null;
# Grouped query attention. A compressed query without compressed keys
# (DeepSeek-V4) is another kernel; attention sinks (gpt-oss) are a variant.
def has_sinks: model_type | test("^gpt_oss");
def is_gqa: (is_mla | not) and text.q_lora_rank == null and has_attention;

# The window of the layers that have one, in tokens, or null. Qwen's configs
# name a window that use_sliding_window has to switch on.
def window:
  text as $t
  | if $t.use_sliding_window == false or ($t.use_sliding_window == null and (model_type | test("^qwen"))) then null
    else ($t.sliding_window | numbers | select(. > 0)) // null end;
# The windows in use, 0 where a layer sees all: by the list of layers, by the
# pattern (every n-th layer sees all), by the first layers of Qwen.
def windows:
  window as $w | text as $t
  | if $w == null then [0]
    elif ($t.layer_types | type) == "array" then
      (if $t.layer_types | any(. != "sliding_attention" and is_softmax_layer) then [0] else [] end)
      + (if $t.layer_types | any(. == "sliding_attention") then [$w] else [] end)
    elif ($t.sliding_window_pattern | type) == "number" and $t.sliding_window_pattern > 1 then [0, $w]
    elif ($t.sliding_window_pattern | type) == "string" then [0, $w]
    elif ($t.max_window_layers | type) == "number" and $t.use_sliding_window == true and $t.max_window_layers > 0 then [0, $w]
    else [$w] end;
def soft_cap: (text.attn_logit_softcapping | numbers | select(. > 0)) // 0;
# The kinds of attention layers: {window, q, kv, d, v_is_k}. Where all is seen
# some have other heads (Gemma 4: global_head_dim, num_global_key_value_heads).
def attentions:
  text as $t
  | windows[] as $w
  | if $w == 0 then {window: 0, q: q_heads, kv: opt("num_global_key_value_heads"; kv_heads), d: opt("global_head_dim"; head_dim),
                     v_is_k: ($t.attention_k_eq_v == true)}
    else {window: $w, q: q_heads, kv: kv_heads, d: head_dim, v_is_k: false} end;
# A kind as part of a name and in words; both empty for plain attention.
def variant: (if has_sinks then "_sinks" else "" end) as $s | soft_cap as $c
  | {tag: (.kind | $s + (if .window > 0 then "_sw\(.window)" else "" end) + (if $c > 0 then "_cap\($c)" else "" end)),
     bounds: (.kind | [(if .window > 0 then "each token sees the last \(.window)" else empty end),
                       (if $c > 0 then "logits are capped at \($c) by tanh" else empty end)] | join(", ")),
     cap: $c};
def attention_reads: ["num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size", "layer_types", "sliding_window",
  "sliding_window_pattern", "attn_logit_softcapping", "global_head_dim", "num_global_key_value_heads", "attention_k_eq_v",
  "query_pre_attn_scalar", "attention_chunk_size", "attn_type_list"];
def attention_keys: ["num_attention_heads", "num_key_value_heads", "head_dim"];

# How the checkpoint is quantised: none, fp8_block (128 x 128), fp8_tensor,
# nvfp4, mxfp4, or other, which no rule understands.
def quantization:
  (.config.quantization_config // text.quantization_config) as $q
  | if $q == null then "none"
    elif $q.quant_method == "fp8" then
      (if $q.weight_block_size == null then "fp8_tensor" elif $q.weight_block_size == [128, 128] then "fp8_block" else "other" end)
    elif $q.quant_method == "mxfp4" then "mxfp4"
    elif ($q.quant_method // "" | test("^modelopt")) then
      ($q.quant_algo // $q.quantization.quant_algo // "" | {"FP8": "fp8_tensor", "NVFP4": "nvfp4"}[.] // "other")
    elif $q.quant_method == "compressed-tensors" then
      [$q.config_groups | objects | .[].weights | objects] as $w
      | if ($w | length) > 0 and all($w[]; .num_bits == 8 and .type == "float" and .strategy == "tensor") then "fp8_tensor"
        elif ($w | length) > 0 and all($w[]; .num_bits == 8 and .type == "float" and .strategy == "block" and .block_structure == [128, 128]) then "fp8_block"
        elif ($w | length) > 0 and all($w[]; .num_bits == 4 and .type == "float" and .group_size == 16) then "nvfp4"
        else "other" end
    else "other" end;
# Whether modules of this name are left as they are.
def unquantised($part):
  (.config.quantization_config // text.quantization_config) as $q
  | [$q.modules_to_not_convert, $q.ignore, $q.exclude_modules, $q.ignored_layers, $q.quantization.exclude_modules | arrays | .[] | strings]
  | any(test("(^|[.*])" + $part) and (test("layers\\.[0-9]+\\.") | not));
def is_dsa: is_mla and text.index_topk != null;
def nope: need("qk_nope_head_dim");
def rope_dim: need("qk_rope_head_dim");
# Mixture of experts: how many layers have a dense MLP instead or beside it.
def moe_intermediate: opt("moe_intermediate_size"; need("intermediate_size"));
def has_dense_layers:
  (is_moe | not)
  or (text | (.first_k_dense_replace | numbers | . > 0) // false)
  or (text | (.mlp_only_layers | arrays | length > 0) // false)
  or (text | (.decoder_sparse_step | numbers | . > 1) // false)
  or (text | (.interleave_moe_layer_step | numbers | . > 1) // false)
  or text.enable_moe_block == true;
# Llama 4 names the inner size of its dense layers apart from the experts'.
def dense_intermediate: opt("intermediate_size_mlp"; need("intermediate_size"));
def shared_intermediate:
  text as $t
  | if ($t.shared_expert_intermediate_size // 0) > 0 then opt("shared_expert_intermediate_size"; 0)
    elif ($t.share_expert_dim // 0) > 0 then opt("share_expert_dim"; 0)
    # Llama 4 always has one of the experts' size
    elif $t.model_type == "llama4_text" then need("intermediate_size")
    elif ($t.n_shared_experts // 0) > 0 then need("n_shared_experts") * moe_intermediate
    else null end;

# Tensor parallel sizes that the heads allow.
def tps($heads): [.serving.tp[] | select($heads % . == 0)];
def eps_sizes($experts): [.serving.ep[] | select($experts % . == 0)];
def kv_at($kv; $tp): if $kv >= $tp then $kv / $tp | floor else 1 end;

# Keys that do not bear on any kernel's shape.
def harmless: [
  "architectures", "model_type", "text_config", "bos_token_id", "eos_token_id", "pad_token_id",
  "unk_token_id", "sep_token_id", "initializer_range", "transformers_version", "use_cache",
  "torch_dtype", "dtype", "tie_word_embeddings", "attention_dropout", "attn_dropout",
  "hidden_dropout", "resid_pdrop", "embd_pdrop", "num_hidden_layers", "pretraining_tp",
  "max_position_embeddings", "max_window_layers", "attention_bias", "mlp_bias", "rope_theta",
  "rope_scaling", "auto_map", "return_dict", "output_attentions", "output_hidden_states",
  "_name_or_path", "seq_length", "use_sliding_window", "classifier_dropout", "name_or_path",
  "output_router_logits", "router_aux_loss_coef", "aux_loss_alpha", "seq_aux", "id2label",
  "label2id",  "cache_implementation", "num_nextn_predict_layers", "mtp_num_hidden_layers", "mamba_ssm_dtype",
  "rope_local_base_freq", "initial_context_length", "final_logit_softcapping", "audio_token_id", "boa_token_id", "eoa_token_id",
  "eoa_token_index", "vision_soft_tokens_per_image", "use_bidirectional_attention", "vocab_size_per_layer_input", "problem_type", "torchscript", "is_encoder_decoder", "use_return_dict", "ep_size",
  "vision_config", "audio_config", "image_token_id", "video_token_id", "boi_token_id", "eoi_token_id", "vision_start_token_id",
  "vision_end_token_id", "image_token_index", "mm_tokens_per_image", "boi_token_index", "eoi_token_index"];
