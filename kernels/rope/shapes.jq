# Rotary embedding from the cos/sin cache; the part of the head that rotates
# comes from partial_rotary_factor or rotary_dim.
include "config";

def reads: ["head_dim", "hidden_size", "num_attention_heads", "partial_rotary_factor", "rotary_dim",
            "rotary_pct", "rope_parameters", "qk_rope_head_dim", "attention_head_dim", "mla_use_nope"];

# rope_parameters may be told for each kind of layer
def factor($kind):
  (text | .partial_rotary_factor // .rotary_pct
   // (.rope_parameters | objects | (.[$kind] | objects | .partial_rotary_factor) // .partial_rotary_factor) // 1) as $f
  | if ($f | type) == "number" and $f > 0 and $f <= 1 then $f
    else refuse("key 'partial_rotary_factor' is \($f | tojson | .[0:60]), not between 0 and 1") end;

def uses_rope: text | .rope_theta != null or .rope_scaling != null or .rope_parameters != null;

# DeepSeek's latent attention rotates even and odd elements of the rope part
# (sglang python/sglang/srt/models/deepseek_v2.py: is_neox_style=False).
def interleaved: model_type | test("^(deepseek|kimi)");

def shapes:
  if is_mla and text.mla_use_nope == true then empty
  elif is_mla and interleaved then
    {template: "gptj", role: "rotary_emb", keys: ["qk_rope_head_dim"],
     axes: {head_size: rope_dim, rotary_dim: rope_dim}}
  elif (is_gqa | not) or (uses_rope | not) then empty else
    attentions as $a | (if $a.window > 0 then "sliding_attention" else "full_attention" end) as $kind
    | opt("rotary_dim"; $a.d * factor($kind) | floor) as $rd
    | {template: "neox", role: "rotary_emb", keys: ["head_dim", "partial_rotary_factor", "rotary_dim"],
       axes: {head_size: $a.d, rotary_dim: $rd}}
  end;
