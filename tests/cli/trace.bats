#!/usr/bin/env bats
# mkdef --from-trace: FlashInfer's trace dumps become Definitions.
load common

setup() { project; mkdir in; }
take() { B mkdef --from-trace=in --dataset=ds --ours=prov "$@" >r.json; }
refused() { # refused JQ-EDIT REASON
	jq "$1" good.json >in/t.json
	rm -rf ds prov
	take
	jq -e --arg r "$2" '.traces[0] | .result == "refused" and (.reason | test($r))' r.json || { cat r.json; return 1; }
	[ ! -e ds ]
}
good() {
	cat >good.json <<-'J'
	{"name": "norm_h8", "description": "d", "op_type": "rmsnorm", "tags": ["status:verified", "fi_api:flashinfer.norm.x"],
	 "axes": {"n": {"type": "var"}, "h": {"type": "const", "value": 8}},
	 "inputs": {"x": {"shape": ["n", "h"], "dtype": "bfloat16"}, "kv_indptr": {"shape": ["n"], "dtype": "unknown"},
	            "flag": {"shape": null, "dtype": "int32", "optional": true}},
	 "outputs": {"x": {"shape": ["n", "h"], "dtype": "bfloat16"}, "y": {"shape": ["n", "h"], "dtype": "bfloat16"}},
	 "reference": "import torch\n\ndef helper(x): return x\n\n@torch.no_grad()\ndef _norm_reference(x, kv_indptr):\n    return helper(x)  # not _norm_reference\n"}
	J
}

@test "names, dtypes, in-place outputs and optional inputs are normalised" {
	good; cp good.json in/t.json
	take
	f=ds/definitions/rmsnorm/norm_h8.json
	jq -e '(.inputs | keys_unsorted) == ["x", "kv_indptr"] and .inputs.kv_indptr.dtype == "int32" and (.outputs | keys) == ["y"]' $f
	jq -r .reference $f | grep -qx 'def run(x, kv_indptr):'
	jq -r .reference $f | grep -q '# not _norm_reference'
	jq -e '.method == "trace_dump"' prov/norm_h8.json
	B checkset ds | grep -v 'missing description\|no workload file\|no tag names a model\|no baseline' | { ! grep .; }
}

@test "parameters in another order are passed by name" {
	good; jq '.reference |= sub("x, kv_indptr\\)"; "kv_indptr, x, eps=1e-6, **_)")' good.json >in/t.json
	take
	jq -r .reference ds/definitions/rmsnorm/norm_h8.json | grep -q 'return _norm_reference(x=x, kv_indptr=kv_indptr)'
}

@test "what cannot be made right is refused with the reason" {
	good
	refused '.reference = "def other(): pass"' 'neither run'
	refused '.inputs.x.dtype = "unknown"' "dtype of input 'x' was not seen"
	refused 'del(.inputs.kv_indptr)' "the reference needs 'kv_indptr'"
	refused 'del(.outputs.y)' 'changed in place'
	refused '.inputs.x.dtype = "uint8"' "dtype 'uint8' is not known"
	refused '.inputs.x.shape[0] = "zz"' "'zz', which is not declared"
	refused 'del(.axes)' 'no Definition'
	refused '.op_type = "../../evil"' "no file's name"
	refused '.name = "../../evil"' "no file's name"
	echo '{' >in/t.json; take; jq -e '.traces[0].reason | test("not valid JSON")' r.json
	[ ! -e evil.json ] && [ ! -e ../evil.json ]
}

@test "every trace of FlashInfer's tree is accepted and valid, or refused with the reason" {
	upstream
	git -C "$UP/flashinfer.git" archive HEAD tests/trace | tar -x
	for d in tests/trace/fi_trace_out*; do
		B mkdef --from-trace="$d" --dataset=ds --ours=prov >>r.json
	done
	jq -es 'map(.traces[]) | length > 100 and all(.result == "written" or (.result == "refused" and (.reason | length) > 10))' r.json
	[ "$(find ds -name '*.json' | wc -l)" -gt 55 ]
	run B checkset --errors ds
	[ "$status" -eq 0 ]
}

@test "the recorded trace of a real run: swap repaired, published names" {
	need_shared
	zstd -dcq "$ONBOARD_SHARED"/dumps/qwen3-8b-l4_ps1.trace.tar.zst | tar -x
	B needed -c "$ONBOARD_SHARED/models/qwen3-8b.json" | B classify --index manifests/snapshot - |
		jq '.kernels |= map(.phase1_status = "new")' >k.json
	B mkdef --from-trace=A_trace --slug=qwen3-8b --dataset=ds --ours=prov -o r.json k.json
	jq -r '.traces[] | select(.result == "written") | .definition_name' r.json | sort >got
	printf '%s\n' fused_add_rmsnorm_h4096 gqa_paged_decode_h32_kv8_d128_ps1 gqa_paged_prefill_causal_h32_kv8_d128_ps1 \
		gqa_ragged_prefill_causal_h32_kv8_d128 merge_state_h32_d128 rmsnorm_h4096 top_k_top_p_sampling_from_probs_v151936 | cmp - got
	jq -e '[.traces[] | select(.file | test("renorm|min_p"))] | length == 3 and all(.reason | test("declared as one value"))' r.json
	jq -e '.tags | index("model:qwen3-8b") and index("tp:1")' ds/definitions/gqa_paged/gqa_paged_decode_h32_kv8_d128_ps1.json
	# mkdef by hand leaves them, and says how they came about
	B mkdef --slug=qwen3-8b --dataset=ds --ours=prov -o m.json k.json
	jq -e '[.definitions[] | select(.method == "trace_dump")] | length == 7' m.json
}

@test "an HND cache is told from a cache without page axis by the model's page sizes" {
	need_shared
	zstd -dcq "$ONBOARD_SHARED"/dumps/qwen3-8b-l4_ps1.trace.tar.zst | tar -x
	jq '.axes.num_kv_heads.value = 64' A_trace/gqa_paged_decode_h32_kv128_d128_ps8.json >in/t.json
	B needed -c "$ONBOARD_SHARED/models/qwen3-8b.json" | B classify --index manifests/snapshot - |
		jq '.kernels |= map(.phase1_status = "new")' >k.json
	take --slug=qwen3-8b k.json
	jq -e '.traces[0] | .definition_name == "gqa_paged_decode_h32_kv8_d128_ps64" and (.repaired | test("HND"))' r.json
	jq '.axes.num_kv_heads.value = 77' A_trace/gqa_paged_decode_h32_kv128_d128_ps8.json >in/t.json
	rm -rf ds prov; take --slug=qwen3-8b k.json
	jq -e '.traces[0] | .result == "refused" and (.reason | test("cannot be told"))' r.json
}
