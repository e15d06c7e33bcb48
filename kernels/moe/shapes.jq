# Fused mixture of experts as FlashInfer serves it; the experts are split by
# EP. How they are stored:
#   fp8_block	fp8 with a scale for each 128 x 128 block
#   fp8_tensor	fp8 with a scale for each expert
#   nvfp4		fp4 with a scale for each 16 elements; also for tokens that are
#		routed already
#   mxfp4		fp4 with a power of two for each 32 elements, tokens in bfloat16
# A config without quantization is served from its quantised checkpoints: all
# of these but the last. And how tokens choose:
#   deepseek	sigmoid scores with a correction bias, the best topk_group of
#		n_group groups, then the best experts (DeepSeek-V3, Kimi-K2, GLM)
#   renormalize	softmax over the chosen experts' logits (Mixtral, Qwen3, gpt-oss)
#   llama4	the best expert, weighted by its sigmoid
include "config";

def formats: {"none": ["fp8_block", "fp8_tensor", "nvfp4"]}[quantization] // [quantization];

def reads: ["num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok", "hidden_size",
            "moe_intermediate_size", "intermediate_size", "n_group", "topk_group", "topk_method",
            "scoring_func", "norm_topk_prob", "routed_scaling_factor", "moe_layer_freq", "n_shared_experts",
            "interleave_moe_layer_step"]
  + (if quantization == "mxfp4" then ["swiglu_limit", "experts_per_token"] else [] end);

def routing: text
  | if .n_group != null and (.topk_method == "noaux_tc" or .scoring_func == "sigmoid")
       and ((.scoring_func // "sigmoid") == "sigmoid") then "deepseek"
    # softmax is the score that is meant where none is named; Mixtral and
    # gpt-oss have no key for renormalising, their routers do it
    elif (.scoring_func // "softmax") == "softmax"
       and (.norm_topk_prob == true or (.norm_topk_prob == null and (.model_type | IN("mixtral", "gpt_oss")))) then "renormalize"
    elif .model_type == "llama4_text" and .num_experts_per_tok == 1 then "llama4"
    else null end;

# {format: {routing: template}}; what is not there FlashInfer or the dataset has not
def templates: {
  "fp8_block": {deepseek: "ds_routing", renormalize: "renorm"},
  "fp8_tensor": {renormalize: "fp8_per_tensor", llama4: "fp8_per_tensor_llama4"},
  "nvfp4": {renormalize: "fp4", llama4: "fp4_llama4", deepseek: "fp4_deepseek"},
  "mxfp4": {renormalize: "mxfp4"}};
def block: {"fp8_block": 128, "fp8_tensor": 16, "nvfp4": 16, "mxfp4": 32};

def keys: ["num_experts", "num_experts_per_tok", "hidden_size", "moe_intermediate_size"];

def shapes:
  if is_moe | not then empty
  elif act | IN("silu", "swiglu", "") | not then {unclear: "moe: experts whose activation is \(act): no template yet"}
  elif routing == null then {unclear: "moe: a routing that is none of DeepSeek's, a softmax renormalised and Llama 4's: no template yet"}
  else
    routing as $r | experts as $e | need("num_experts_per_tok") as $k | hidden as $h | moe_intermediate as $i
    | {num_experts: $e, hidden_size: $h, intermediate_size: $i, gemm1_out_size: (2 * $i)} as $size
    | {topk: $k} as $top
    | formats[] as $f | templates[$f][$r] as $t
    | select($t != null and $h % block[$f] == 0 and $i % block[$f] == 0)
    | (if $r == "deepseek" then {n_group: need("n_group"), topk_group: need("topk_group")} else {} end) as $groups
    | if $t == "renorm" then
        {template: $t, ep: 1, role: "mlp.experts", keys: keys,
         axes: (($size | del(.num_experts)) + {num_local_experts: $e, top_k: $k, num_hidden_blocks: ($h / 128),
                num_intermediate_blocks: ($i / 128), num_gemm1_out_blocks: (2 * $i / 128)})}
      else
        eps_sizes($e)[] as $ep
        | {ep: $ep, role: "mlp.experts", keys: (keys + ($groups | keys_unsorted)), params: ({top_k: $k} + $groups),
           axes: ($size + {num_local_experts: ($e / $ep)}
                  + {"fp8_block": {num_hidden_blocks: ($h / 128), num_intermediate_blocks: ($i / 128), num_gemm1_out_blocks: (2 * $i / 128)},
                     "nvfp4": {num_packed_hidden: ($h / 2), num_fp4_hidden_blocks: ($h / 16),
                               num_packed_intermediate: ($i / 2), num_fp4_intermediate_blocks: ($i / 16)},
                     "mxfp4": {num_packed_hidden: ($h / 2), num_hidden_blocks: ($h / 32),
                               num_packed_intermediate: ($i / 2), num_intermediate_blocks: ($i / 32)},
                     "fp8_tensor": {}}[$f])}
        | (. + {template: $t}),
          (if $f == "nvfp4" then . + {template: "fp4_routed"} | .axes.top_k = $k | .params = {} else empty end)
      end
  end;
