#!/usr/bin/env bats
# The whole pipeline from the snapshot: resumption, determinism, variables.
load common

setup() { project; }

@test "llama-3.1-8b and qwen3-8b are onboarded from the snapshot" {
	"${M[@]}" -j2 MODELS="llama-3.1-8b qwen3-8b" onboard
	for m in llama-3.1-8b qwen3-8b; do
		[ -s tmp/onboard_"$m"_"$(date +%F)".json ]
	done
	[ "$(jq '[.kernels[] | select(.phase1_status == "existing")] | length' tmp/onboard_llama*.json)" -eq 14 ]
	[ "$(jq -r '.sources[].kind' tmp/onboard_llama*.json | sort -u)" = snapshot ]
}

@test "manifests follow the schema" {
	"${M[@]}" MODELS="llama-3.1-8b qwen3-8b mistral-7b-v0.3" onboard
	/usr/bin/python3 - tmp/onboard_*.json <<-'PY'
	import json, sys, jsonschema
	schema = json.load(open("tests/manifest.schema.json"))
	for f in sys.argv[1:]:
	    jsonschema.validate(json.load(open(f)), schema)
	assert len(sys.argv) == 4
	PY
}

@test "kernels are sorted by op_type and name, fields in the contract's order" {
	"${M[@]}" MODEL=qwen3-8b onboard
	jq -e '.kernels | map([.op_type, .definition_name]) | . == sort' tmp/onboard_qwen3-8b_*.json
	[ "$(jq -r 'keys_unsorted | join(" ")' tmp/onboard_qwen3-8b_*.json)" = \
		"model_slug hf_repo_id date repo_shas kernels phase4 sources" ]
	jq -e '.kernels[] | select(.phase1_status == "new") | .phase2_status == "done" and .phase2_method == "manual"' \
		tmp/onboard_qwen3-8b_*.json >/dev/null
	jq -e '.phase4 | to_entries | all(.value.outbox)' tmp/onboard_qwen3-8b_*.json
}

@test "the second make is silent and starts no program; make -q is 0" {
	"${M[@]}" MODELS="llama-3.1-8b qwen3-8b" onboard
	run "${M[@]}" MODELS="llama-3.1-8b qwen3-8b" onboard
	[ "$status" -eq 0 ] && [ -z "$output" ]
	"${M[@]}" -q MODELS="llama-3.1-8b qwen3-8b" onboard
	strace -f -qq -e trace=execve -o trace "${M[@]}" MODELS="llama-3.1-8b qwen3-8b" onboard
	! grep -E 'bin/(git|fetch|index|needed|classify|mkdef|mkpr|manifest|jq|python)' trace
}

@test "make -n writes nothing, before and after" {
	find . -not -path './tmp*' | sort >before
	"${M[@]}" -n MODEL=llama-3.1-8b onboard >/dev/null
	[ ! -e tmp ]
	"${M[@]}" MODEL=llama-3.1-8b onboard
	digest >one
	"${M[@]}" -n MODELS="llama-3.1-8b mistral-7b-v0.3" onboard >/dev/null
	digest >two
	cmp one two
}

@test "-j1 and -j8, in whatever order models run: the same bytes" {
	"${M[@]}" -j1 MODELS="llama-3.1-8b qwen3-8b mistral-7b-v0.3 qwen3-32b" onboard
	digest >"$BATS_TEST_TMPDIR/one"
	project q
	"${M[@]}" -j8 MODELS="qwen3-32b mistral-7b-v0.3 qwen3-8b llama-3.1-8b" onboard
	digest >"$BATS_TEST_TMPDIR/two"
	cmp "$BATS_TEST_TMPDIR/one" "$BATS_TEST_TMPDIR/two"
}

@test "an edited definition of ours is left as it is and reported" {
	"${M[@]}" MODEL=qwen3-8b onboard
	f=tmp/flashinfer-trace/definitions/gemm/gemm_n24576_k4096.json
	sed -i 's/Matrix product/My own words/' $f
	cp $f mine
	touch kernels/gemm/gemm.json
	run "${M[@]}" MODEL=qwen3-8b onboard
	[ "$status" -eq 0 ]
	[[ $output == *"$f is not as we wrote it; it is left as it is"* ]]
	cmp mine $f
}

@test "a definition that exists is not touched" {
	"${M[@]}" MODEL=llama-3.1-8b onboard
	[ ! -e tmp/flashinfer-trace/definitions/rmsnorm/rmsnorm_h4096.json ]
	[ ! -e tmp/flashinfer-trace/tests/references/test_rmsnorm_h4096.py ]
	[ -e tmp/flashinfer-trace/definitions/activation/silu_and_mul_h28672.json ]
}

@test "PHASES stops where it should and is resumed" {
	"${M[@]}" MODEL=qwen3-8b PHASES=0,1 onboard
	[ -e tmp/run/qwen3-8b/kernels.json ] && [ ! -e tmp/run/qwen3-8b/definitions.json ]
	jq -e '.kernels | all(has("phase2_status") | not)' tmp/onboard_qwen3-8b_*.json
	"${M[@]}" MODEL=qwen3-8b PHASES=0,1,2 onboard
	jq -e '.kernels | all(.phase2_status == "done" and (has("phase3_status") | not))' tmp/onboard_qwen3-8b_*.json
	run "${M[@]}" MODEL=qwen3-8b onboard
	[[ $output != *needed.json* && $output == *SESSIONS* ]]
	jq -e '.kernels | all(.phase3_status)' tmp/onboard_qwen3-8b_*.json
}

@test "an artefact that was removed is made again" {
	"${M[@]}" MODEL=qwen3-8b onboard
	digest >one
	for f in needed kernels definitions sessions outbox serving; do
		rm tmp/run/qwen3-8b/$f.json
		"${M[@]}" MODEL=qwen3-8b onboard
		digest >two
		cmp one two
	done
	rm tmp/flashinfer-trace/definitions/gemm/gemm_n24576_k4096.json
	rm -r tmp/outbox/qwen3-8b/rmsnorm_h128
	"${M[@]}" MODEL=qwen3-8b onboard
	digest >two
	cmp one two
	rm tmp/index/sglang.json
	"${M[@]}" MODEL=qwen3-8b onboard
	digest >two
	cmp one two
}

@test "SKIP_WORKLOAD shows in phase 3, and leaving it out undoes it" {
	"${M[@]}" MODEL=qwen3-8b SKIP_WORKLOAD=1 onboard
	jq -e '[.kernels[].phase3_status] | any(. == "skipped (--skip-workload)")' tmp/onboard_*.json
	"${M[@]}" MODEL=qwen3-8b onboard
	jq -e '[.kernels[].phase3_status] | all(. != "skipped (--skip-workload)")' tmp/onboard_*.json
}

@test "TP and PAGE_SIZES override the serving facts" {
	"${M[@]}" MODEL=qwen3-8b TP="1 4 16" PAGE_SIZES="16" onboard
	jq -r '.kernels[].definition_name' tmp/onboard_*.json >names
	grep -qx gqa_paged_decode_h32_kv8_d128_ps16 names
	grep -qx gqa_paged_decode_h8_kv2_d128_ps16 names
	grep -qx gqa_paged_decode_h2_kv1_d128_ps16 names
	! grep -q ps64 names
	jq -e '.tags | index("tp:4")' tmp/flashinfer-trace/definitions/gqa_paged/gqa_paged_decode_h8_kv2_d128_ps16.json
	run "${M[@]}" MODEL=qwen3-8b TP="0" onboard
	[ "$status" -ne 0 ] && [[ $output == *"--tp takes numbers from 1 on"* ]]
}

@test "the run's date is fixed: a later call goes on with it, NEW_RUN begins another" {
	"${M[@]}" MODEL=qwen3-8b onboard
	mv tmp/onboard_qwen3-8b_*.json tmp/onboard_qwen3-8b_2020-01-02.json
	echo 2020-01-02 >tmp/run/qwen3-8b/date
	"${M[@]}" MODEL=qwen3-8b onboard
	[ "$(ls tmp/onboard_*)" = tmp/onboard_qwen3-8b_2020-01-02.json ]
	# the folder of the run is gone: the latest manifest is taken up
	rm -r tmp/run/qwen3-8b
	"${M[@]}" MODEL=qwen3-8b onboard
	[ "$(ls tmp/onboard_*)" = tmp/onboard_qwen3-8b_2020-01-02.json ]
	"${M[@]}" MODEL=qwen3-8b NEW_RUN=1 onboard
	[ -e tmp/onboard_qwen3-8b_"$(date +%F)".json ]
}

@test "CONFIG= takes a model that is on no Hub" {
	jq '.num_attention_heads = 24 | .hidden_size = 3072 | .vocab_size = 77' manifests/snapshot/configs/llama-3.1-8b.json >c.json
	"${M[@]}" MODEL=my-model CONFIG=c.json onboard
	jq -e '.hf_repo_id == null and ([.kernels[].definition_name] | index("top_p_sampling_from_probs_v77"))' tmp/onboard_my-model_*.json
	/usr/bin/python3 -c 'import json, sys, jsonschema
jsonschema.validate(json.load(open(sys.argv[1])), json.load(open("tests/manifest.schema.json")))' tmp/onboard_my-model_*.json
}

@test "a wish in manifests/models fixes id, TP and page sizes" {
	mkdir -p manifests/models
	echo '{"hf_repo_id": "Qwen/Qwen3-8B", "tp": [2], "page_sizes": [1]}' >manifests/models/qwen3-8b.json
	"${M[@]}" MODEL=qwen3-8b onboard
	jq -e '[.kernels[].definition_name] | index("gqa_paged_decode_h16_kv4_d128_ps1") and (index("gqa_paged_decode_h16_kv4_d128_ps64") | not)' tmp/onboard_*.json
}

@test "what FlashInfer lacks becomes a kernel request with the contract's template" {
	jq -n '{architectures: ["NemotronHForCausalLM"], model_type: "nemotron_h", hybrid_override_pattern: "M*-", hidden_size: 8192,
		num_attention_heads: 64, num_key_value_heads: 8, attention_head_dim: 128, intermediate_size: 32768, mlp_hidden_act: "relu2",
		mamba_num_heads: 256, mamba_head_dim: 64, ssm_state_size: 256, n_groups: 8, vocab_size: 131072}' >c.json
	"${M[@]}" MODEL=hybrid HF_REPO_ID=org/Hybrid CONFIG=c.json onboard
	n=mamba_ssu_decode_h256_d64_s256_ng8
	[ "$(cat tmp/outbox/hybrid/$n/issue/TITLE)" = "Kernel request: mamba_ssu for hybrid" ]
	[ "$(cat tmp/outbox/hybrid/$n/issue/LABELS)" = "enhancement,kernel-request" ]
	grep -qF '**Definition name**: '$n tmp/outbox/hybrid/$n/issue/BODY.md
	grep -qF '| `nheads` | const | 256 |' tmp/outbox/hybrid/$n/issue/BODY.md
	grep -qF 'tmp/sglang/python/sglang/srt/models/nemotron_h.py' tmp/outbox/hybrid/$n/issue/BODY.md
	! grep -q '[{}]' tmp/outbox/hybrid/$n/issue/BODY.md
	jq -e --arg n $n '.kernels[] | select(.definition_name == $n) | .phase3_status == "skipped (fi_missing)" and .fi_status == "fi_missing"' tmp/onboard_hybrid_*.json
}

@test "DRY_RUN prints a plan in words and writes nothing" {
	run "${M[@]}" MODEL=qwen3-8b DRY_RUN=1 onboard
	[ "$status" -eq 0 ] && [ ! -e tmp ]
	[[ $output == *"gemm_n24576_k4096: would be written"* ]]
	[[ $output == *"gemm_n4096_k4096: exists in the dataset"* ]]
	[[ $output == *"nothing was written or sent"* ]]
	"${M[@]}" MODEL=llama-3.1-8b onboard
	digest >one
	"${M[@]}" MODEL=qwen3-8b DRY_RUN=1 onboard
	digest >two
	cmp one two
}

@test "onboard-model takes the contract's flags" {
	run scripts/onboard-model --model-name qwen3-8b --hf-repo-id Qwen/Qwen3-8B --phases 0,1,2 --skip-workload --submit-prs false \
		SOURCE=snapshot "B=${ONBOARD_BUILD##*/}"
	[ "$status" -eq 0 ] && [ -e tmp/run/qwen3-8b/definitions.json ] && [ ! -e tmp/outbox ]
	run scripts/onboard-model --model-name=qwen3-8b --dry-run SOURCE=snapshot "B=${ONBOARD_BUILD##*/}"
	[ "$status" -eq 0 ] && [[ $output == *"nothing was written"* ]]
	run scripts/onboard-model --phases 7 --model-name x
	[ "$status" -eq 2 ]
	run scripts/onboard-model
	[ "$status" -eq 2 ]
	run scripts/onboard-model --bogus
	[ "$status" -eq 2 ]
	run scripts/onboard-model --model-name ../evil
	[ "$status" -eq 1 ]
	run scripts/onboard-model --check
	[[ $output == *"GPU"*"SGLang"* ]]
}

@test "onboard-model returns the failed rule's code and sentence" {
	run scripts/onboard-model --model-name no-such-model --model-name qwen3-8b SOURCE=snapshot "B=${ONBOARD_BUILD##*/}"
	[ "$status" -eq 1 ]
	[[ $output == *"no-such-model is not known"* ]]
	[ -e tmp/onboard_qwen3-8b_"$(date +%F)".json ]
	run "${M[@]}" status
	[[ $output == *"FAILED (exit 1 "*"no-such-model is not known"* ]]
}

@test "discover says that a snapshot has no history" {
	run "${M[@]}" discover
	[ "$status" -eq 0 ]
	jq -e '.candidates == [] and (.notes | length) == 3' tmp/discovered.json
}

@test "make status, outbox and help speak" {
	run "${M[@]}" status
	[[ $output == *"no model has been run"* ]]
	"${M[@]}" MODEL=qwen3-8b onboard
	run "${M[@]}" status
	[[ $output == *"existing"*"needs SGLang PR"*"ready"* ]]
	run "${M[@]}" outbox
	[[ $output == *tmp/outbox/qwen3-8b/gemm_n24576_k4096/dataset/TITLE* ]]
	run "${M[@]}" help
	[[ $output == *onboard*status* ]]
	run "${M[@]}" onboard
	[ "$status" -eq 2 ] && [[ $output == *"say which model"* ]]
}
