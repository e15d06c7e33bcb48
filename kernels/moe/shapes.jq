# Fused mixture of experts with fp8 block scales, as FlashInfer serves it; the
# experts are split by EP. Which routing:
#   ds_routing	sigmoid scores with a correction bias, the best topk_group of
#		n_group groups, then the best experts (DeepSeek-V3, Kimi-K2)
#   renorm	softmax over the chosen experts' logits (Mixtral, Qwen3)
# A config without quantization is served from its fp8 checkpoint as well; one
# of another quantization (fp4, int4, mxfp4) is not of this kind.
include "config";

def quant: .config.quantization_config // text.quantization_config;
def fp8: quant as $q | $q == null or ($q.quant_method == "fp8" and ($q.weight_block_size // [128, 128]) == [128, 128]);

def reads: ["num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok", "hidden_size",
            "moe_intermediate_size", "intermediate_size", "n_group", "topk_group", "topk_method",
            "scoring_func", "norm_topk_prob", "routed_scaling_factor", "moe_layer_freq", "n_shared_experts"]
  # another quantization stays among the keys that were not understood
  + (if fp8 then ["quantization_config"] else [] end);

def ds_routing: text | .n_group != null and (.topk_method == "noaux_tc" or .scoring_func == "sigmoid");
# softmax is the score that is meant where none is named; Mixtral has no key
# for renormalising either, its router does it
def renorm: text | (.scoring_func // "softmax") == "softmax"
  and (.norm_topk_prob == true or (.norm_topk_prob == null and .model_type == "mixtral"));

def sizes($e; $ep): hidden as $h | moe_intermediate as $i
  | {num_local_experts: ($e / $ep), hidden_size: $h, intermediate_size: $i, gemm1_out_size: (2 * $i),
     num_hidden_blocks: ($h / 128), num_intermediate_blocks: ($i / 128), num_gemm1_out_blocks: (2 * $i / 128)};

def keys: ["num_experts", "num_experts_per_tok", "hidden_size", "moe_intermediate_size"];

def shapes:
  if is_moe | not then empty
  elif (fp8 | not) or hidden % 128 != 0 or moe_intermediate % 128 != 0 then
    {unclear: "moe: experts that are not in fp8 with blocks of 128: no template yet"}
  else
    experts as $e | need("num_experts_per_tok") as $k
    | if ds_routing then
        eps_sizes($e)[] as $ep
        | {template: "ds_routing", ep: $ep, role: "mlp.experts", keys: (keys + ["n_group", "topk_group"]),
           axes: ({num_experts: $e} + sizes($e; $ep)),
           params: {top_k: $k, n_group: need("n_group"), topk_group: need("topk_group")}}
      elif renorm then
        {template: "renorm", ep: 1, role: "mlp.experts", keys: keys, axes: (sizes($e; 1) + {top_k: $k})}
      else {unclear: "moe: a routing that is neither DeepSeek's nor a softmax renormalised: no template yet"} end
  end;
