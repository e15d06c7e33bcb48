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
  "gemma3_text": {vocab_size: 262208, num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256,
                  rms_norm_eps: 1e-6, rope_theta: 1000000, hidden_activation: "gelu_pytorch_tanh",
                  query_pre_attn_scalar: 256, sliding_window: 4096},
  "minimax_m2": {rotary_dim: 64, rope_theta: 5000000, scoring_func: "sigmoid"},
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

def experts: text | .num_experts // .num_local_experts // .n_routed_experts // .moe_num_experts // 0
  | if type == "array" then .[0] else . end | if type == "number" then . else 0 end;
def is_moe: experts > 1;
def is_encoder: (model_type | test("^(bert|roberta|vit|clip|siglip)$"));

# Layers whose kind is listed: true if any layer does full attention.
def has_full_attention:
  text.layer_types as $l | text.hybrid_override_pattern as $p
  | if ($p | type) == "string" then ($p | contains("*"))
    elif ($l | type) == "array" then ($l | any(. == "full_attention" or . == "attention")) else true end;

# Multi-head latent attention; with index_topk only the chosen tokens are seen.
def is_mla: text.kv_lora_rank != null;
# Grouped query attention as the wrappers have it. A compressed query without
# compressed keys (DeepSeek-V4) and attention sinks (gpt-oss) are other kernels.
def has_sinks: model_type | test("^gpt_oss");
def is_gqa: (is_mla | not) and text.q_lora_rank == null and (has_sinks | not) and has_full_attention;
def is_dsa: is_mla and text.index_topk != null;
def nope: need("qk_nope_head_dim");
def rope_dim: need("qk_rope_head_dim");
# Mixture of experts: how many layers have a dense MLP instead or beside it.
def moe_intermediate: opt("moe_intermediate_size"; need("intermediate_size"));
def has_dense_layers:
  (is_moe | not)
  or (text | (.first_k_dense_replace | numbers | . > 0) // false)
  or (text | (.mlp_only_layers | arrays | length > 0) // false)
  or (text | (.decoder_sparse_step | numbers | . > 1) // false);
def shared_intermediate:
  text as $t
  | if ($t.shared_expert_intermediate_size // 0) > 0 then opt("shared_expert_intermediate_size"; 0)
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
  "label2id", "problem_type", "torchscript", "is_encoder_decoder", "use_return_dict", "ep_size",
  "vision_config", "audio_config", "image_token_id", "video_token_id", "vision_start_token_id",
  "vision_end_token_id", "image_token_index", "mm_tokens_per_image", "boi_token_index", "eoi_token_index"];
