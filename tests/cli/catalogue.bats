#!/usr/bin/env bats
# Shapes from the config, for all configs at hand; nothing is keyed on a name.
load common

setup() { project; }
names() { B needed -c "$1" | jq -r '.kernels[].definition_name'; }

@test "every config of ../shared/models gives its kernels" {
	need_shared
	for m in "$ONBOARD_SHARED"/models/*.json; do
		[ "$(names "$m" | wc -l)" -ge 8 ]
	done
}

@test "every published definition tagged with one of these models is among its kernels" {
	upstream
	git -C "$UP/flashinfer-trace.git" archive HEAD definitions | tar -x -C "$BATS_TEST_TMPDIR"
	n=0
	for m in "$ONBOARD_SHARED"/models/*.json; do
		slug=$(basename "$m" .json)
		B fetch-config --slug="$slug" --dir=run --cookbook=manifests/snapshot/sgl_cookbook.json \
			--known=manifests/hub-ids.tsv --snapshot=manifests/snapshot --config="$m"
		B needed -d run | jq -r '.kernels[].definition_name' | sort >got
		jq -r --arg t "model:$slug" 'select(.tags | index($t)) | .name' "$BATS_TEST_TMPDIR"/definitions/*/*.json | sort >want
		[ -z "$(comm -13 got want)" ]
		n=$((n + $(wc -l <want)))
	done
	[ "$n" -gt 40 ]
}

@test "the name of the file and of the model do not matter" {
	need_shared
	for m in "$ONBOARD_SHARED"/models/{deepseek-v3,qwen3-next-80b-a3b,nemotron-h-47b,gemma-3-27b}.json; do
		jq '. + {_name_or_path: "x/y"}' "$m" >z.json
		cmp <(names "$m") <(names z.json)
	done
}

@test "MLA, GDN, MoE and Mamba follow TP and EP" {
	need_shared
	echo '{"tp": [1, 8], "ep": [1, 8], "page_sizes": [1]}' >s.json
	B needed -c "$ONBOARD_SHARED/models/deepseek-v3.json" --serving s.json | jq -r '.kernels[].definition_name' >got
	grep -qx mla_paged_decode_h16_ckv512_kpe64_ps1 got
	grep -qx mla_paged_decode_h128_ckv512_kpe64_ps1 got
	grep -qx moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h7168_i2048 got
	! grep -q ps64 got
	echo '{"tp": [2], "ep": [1], "page_sizes": [1]}' >s.json
	B needed -c "$ONBOARD_SHARED/models/qwen3-next-80b-a3b.json" --serving s.json | jq -r '.kernels[].definition_name' >got
	grep -qx gdn_decode_qk8_v16_d128_k_last got
}

@test "what FlashInfer cannot run is fi_missing with the reason" {
	need_shared
	B needed -c "$ONBOARD_SHARED/models/nemotron-h-56b.json" | B classify --index manifests/snapshot - >k.json
	jq -e '.kernels[] | select(.op_type == "mamba_ssu") | .fi_status == "fi_missing" and .sgl_status == "n/a"
		and (has("fi_trace_template") | not) and (.evidence.fi_status.note | test("heads a group"))' k.json
	B mkdef --print --slug x k.json | jq -es 'any(.op_type == "mamba_ssu" and (.tags | index("status:unverified")))'
}

@test "an unknown attention is named, not guessed" {
	need_shared
	B needed -c "$ONBOARD_SHARED/models/deepseek-v4-flash.json" >n.json
	jq -e '[.kernels[].op_type] | index("gqa_paged") | not' n.json
	jq -e '.not_understood | any(test("q_lora_rank"))' n.json
	B needed -c "$ONBOARD_SHARED/models/gpt-oss-120b.json" | jq -r ".kernels[].definition_name" >names
	grep -qx gqa_paged_decode_h64_kv8_d64_ps1_sinks_sw128 names
	grep -qx trtllm_mxfp4_block_scale_moe_topk4_e128_h2880_i2880 names
	! grep -q gqa_ragged names
}

@test "every definition of the catalogue has descriptions, a status and its own name" {
	need_shared
	for m in "$ONBOARD_SHARED"/models/*.json; do
		B needed -c "$m" | B classify --index manifests/snapshot - | B mkdef --print --slug x -
	done | jq -es 'all(.description and (.tags | any(startswith("status:"))) and (.tags | index("model:x"))
		and ([.axes[], .inputs[], .outputs[]] | all(.description)) and (.reference | test("def run\\(")))'
}

# a config with these keys, as needed names its kernels
of() {
	jq -n "{model_type: \"x\", hidden_size: 2048, num_attention_heads: 16, num_key_value_heads: 4, head_dim: 128, vocab_size: 1000,
		intermediate_size: 4096, hidden_act: \"silu\", rms_norm_eps: 1e-6, rope_theta: 1e4} + $1" >c.json
	B needed -c c.json >n.json
	jq -r '.kernels[].definition_name' n.json >names
}

@test "windows: by list, by pattern, everywhere, switched off" {
	of '{sliding_window: 4096}'
	grep -qx gqa_paged_decode_h16_kv4_d128_ps1_sw4096 names && ! grep -qx gqa_paged_decode_h16_kv4_d128_ps1 names
	of '{sliding_window: 512, layer_types: ["sliding_attention", "full_attention"]}'
	grep -qx gqa_ragged_prefill_causal_h16_kv4_d128_sw512 names && grep -qx gqa_ragged_prefill_causal_h16_kv4_d128 names
	of '{model_type: "qwen2", sliding_window: 512, use_sliding_window: false}'
	! grep -q sw512 names
	of '{model_type: "gemma3_text", sliding_window: 512, hidden_activation: "gelu_pytorch_tanh", hidden_act: null}'
	grep -qx gqa_paged_decode_h16_kv4_d128_ps64_sw512 names && grep -qx gqa_paged_decode_h16_kv4_d128_ps64 names
	grep -qx gelu_tanh_and_mul_h8192 names
}

@test "formats of checkpoints choose the projections and the experts" {
	moe='num_experts: 64, num_experts_per_tok: 4, moe_intermediate_size: 1024, norm_topk_prob: true'
	of "{$moe, quantization_config: {quant_method: \"fp8\", weight_block_size: [128, 128]}}"
	grep -qx gemm_fp8_nt_groupwise_n3072_k2048 names && grep -qx per_token_group_quant_fp8_k2048_g128 names
	grep -qx moe_fp8_block_scale_renorm_topk4_e64_h2048_i1024 names && ! grep -q trtllm names
	of "{$moe, quantization_config: {quant_method: \"modelopt\", quant_algo: \"NVFP4\", exclude_modules: [\"*self_attn*\"]}}"
	grep -qx trtllm_fp4_block_scale_moe_topk4_e64_h2048_i1024 names && grep -qx trtllm_fp4_block_scale_routed_moe_topk4_e64_h2048_i1024 names
	! grep -q 'gemm_fp4\|moe_fp8\|per_tensor' names
	of '{quantization_config: {quant_method: "modelopt", quant_algo: "NVFP4"}}'
	grep -qx gemm_fp4_N8192_K2048_block_size16 names && grep -qx nvfp4_quantize_k4096 names
	of "{$moe, quantization_config: {quant_method: \"compressed-tensors\", config_groups: {g: {weights: {num_bits: 8, type: \"float\", strategy: \"tensor\"}}}}}"
	grep -qx gemm_fp8_per_tensor_n3072_k2048 names && grep -qx trtllm_fp8_per_tensor_scale_moe_topk4_e64_h2048_i1024 names
	of "{$moe, quantization_config: {quant_method: \"gptq\", bits: 4}}"
	jq -e '.not_understood | any(. == "quantization_config") and any(test("format"))' n.json
	! grep -q 'moe_\|gemm_f' names
}

@test "KDA and lightning attention; what FlashInfer lacks is unverified and names its source" {
	of '{model_type: "kimi_linear", kv_lora_rank: 512, qk_nope_head_dim: 128, qk_rope_head_dim: 64, v_head_dim: 128, mla_use_nope: true,
		linear_attn_config: {kda_layers: [1, 2, 3], full_attn_layers: [4], num_heads: 32, head_dim: 128, short_conv_kernel_size: 4}}'
	grep -qx recurrent_kda_q32_v32_d128 names && grep -qx kda_prefill_q32_v32_d128 names && ! grep -q rope_with names
	of '{attn_type_list: [0, 0, 1]}'
	grep -qx lightning_attn_decode_h16_d128 names && grep -qx gqa_paged_decode_h16_kv4_d128_ps1 names
	B classify --index manifests/snapshot n.json >k.json
	jq -e '[.kernels[] | select(.op_type == "lightning_attn") | .fi_status == "fi_missing"] | length == 2 and all' k.json
	B mkdef --print --slug x k.json | jq -es 'map(select(.op_type == "lightning_attn")) | all((.tags | index("status:unverified"))
		and (.description | test("arXiv")))'
	of '{attn_type_list: [0, 0]}'
	! grep -q gqa_ names
}
