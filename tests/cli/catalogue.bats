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
	B needed -c "$ONBOARD_SHARED/models/gpt-oss-120b.json" | jq -e '.not_understood | any(test("sinks"))'
}

@test "every definition of the catalogue has descriptions, a status and its own name" {
	need_shared
	for m in "$ONBOARD_SHARED"/models/*.json; do
		B needed -c "$m" | B classify --index manifests/snapshot - | B mkdef --print --slug x -
	done | jq -es 'all(.description and (.tags | any(startswith("status:"))) and (.tags | index("model:x"))
		and ([.axes[], .inputs[], .outputs[]] | all(.description)) and (.reference | test("def run\\(")))'
}
