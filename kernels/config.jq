# config.jq - reading a model's config.json the same way in every folder.
#
# The rules in OP/shapes.jq get {config, serving} as input and yield one
# object for each kernel needed:
#   {template, axes: {const axis: integer}, params: {...}, tp, ep, role, keys}
# axes fill the constants of OP/TEMPLATE.json, params its other placeholders;
# role is the layer that calls it; keys are the config keys that it rests on.
# Whatever a rule reads stands in its `reads`, so that keys which no rule
# read can be named (they are what was not understood).

def refuse(m): error("onboard: " + m);

# The language model's part: multimodal configs nest it.
def text:
  .config as $c
  | (($c.text_config // $c.language_config // $c.llm_config // $c.thinker_config.text_config // {})
     | if type == "object" then . else {} end) as $t
  | $c + $t;

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
  opt("head_dim";
    if hidden % q_heads == 0 then hidden / q_heads
    else refuse("key 'head_dim' is missing, and hidden_size \(hidden) is no multiple of num_attention_heads \(q_heads)") end);
def eps:
  (text | .rms_norm_eps // .layer_norm_epsilon // .norm_eps) as $v
  | if $v == null then null
    elif ($v | type) == "number" and $v > 0 and $v < 1 then $v
    else refuse("key 'rms_norm_eps' is \($v | tojson | .[0:60]), not between 0 and 1") end;

def model_type: text.model_type // "" | if type == "string" then . else "" end;
def architectures: (.config.architectures // []) | if type == "array" then map(strings) else [] end;

def is_mla: text.kv_lora_rank != null;
def experts: text | .num_experts // .num_local_experts // .n_routed_experts // .moe_num_experts // 0
  | if type == "array" then .[0] else . end | if type == "number" then . else 0 end;
def is_moe: experts > 1;
def is_encoder: (model_type | test("^(bert|roberta|vit|clip|siglip)$"));

# Layers whose kind is listed: true if any layer does full attention.
def has_full_attention:
  text.layer_types as $l
  | if ($l | type) == "array" then ($l | any(. == "full_attention" or . == "attention")) else true end;

# Tensor parallel sizes that the heads allow.
def tps($heads): [.serving.tp[] | select($heads % . == 0)];
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
  "label2id", "problem_type", "torchscript", "is_encoder_decoder", "use_return_dict"];
