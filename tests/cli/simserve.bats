#!/usr/bin/env bats
# The simulated engine: its schedule, its dumps, its tree of its own.
load common

setup() { project; }
# definitions of a config, as if none existed, in ds/
dataset() {
	B needed -c "$1" | B classify --index manifests/snapshot - |
		jq '.kernels |= map(.phase1_status = "new" | if .fi_status != "fi_missing" then .fi_status = "fi_supported" else . end)' |
		B mkdef --slug x --dataset ds --ours ours -o /dev/null -
}
plan() { jq -n --argjson ps "$1" --arg prefill "$2" '{sessions: [{name: "s", tp: 1, page_size: $ps, prefill: $prefill, definitions: $ARGS.positional}]}' --args "${@:3}" >plan.json; }
sim() { B simserve --kernels=kernels --plan=plan.json --session=s --dataset=ds --dir=run --to=sim "$@"; }
QWEN=manifests/snapshot/configs/qwen3-8b.json

@test "every definition that FlashInfer implements gets workloads that both validators' rules hold for" {
	models=(qwen3-8b deepseek-v3)
	[ ! -d "$ONBOARD_SHARED/models" ] || models+=(deepseek-v3.2 qwen3-next-80b-a3b nemotron-h-47b gemma-2-2b)
	for m in "${models[@]}"; do
		c=manifests/snapshot/configs/$m.json
		[ -e $c ] || c=$ONBOARD_SHARED/models/$m.json
		rm -rf ds ours sim run
		dataset "$c"
		for ps in 1 64; do
			mapfile -t names < <(find ds/definitions -name '*.json' | xargs jq -r --argjson ps $ps \
				'select((.axes.page_size.value // $ps) == $ps and any(.tags[]?; startswith("fi_api:"))) | .name')
			plan $ps ragged "${names[@]}"
			sim --config="$c" --batches=8 --inputs=300 --output=40 --tokens=16384 --calls=4 2>err || { cat err; false; }
			jq -e '.engine == "sim" and .skipped == {}' run/session.json || { jq .skipped run/session.json; false; }
			# merge_state is called only where a prefix was cached; a call that tells of no window fits both
			jq -e 'all(.definitions[]; .accepted > 0 or .seen == 0 or any(.refused | keys[]; test("fits .* as well")))' run/session.json ||
				{ echo "$m ps $ps"; jq '.definitions | map_values({seen, accepted, refused})' run/session.json; false; }
		done
		cp -r ds/definitions sim/
		B checkset --errors --kernels=kernels sim
	done
}

@test "the same requests give the same bytes; another tree is not touched" {
	dataset $QWEN
	plan 1 ragged gqa_paged_decode_h32_kv8_d128_ps1 rmsnorm_h4096
	cp -r ds before
	sim --config=$QWEN --batches=8 --inputs=100 --output=20
	cp -r sim one
	rm -rf sim run
	sim --config=$QWEN --batches=8 --inputs=100 --output=20
	diff -r one sim
	diff -r before ds
	[ ! -e run/dumps ]
	jq -e '.steps > 20 and .calls > 0' run/session.json
}

@test "the scheduler: budgets, prefixes, pages and retraction are kept to" {
	dataset $QWEN
	plan 64 paged gqa_paged_decode_h32_kv8_d128_ps64 gqa_paged_prefill_causal_h32_kv8_d128_ps64
	printf '%s\n' '300 40' '5000 10' '64 3' '20 100' '1000 80' '700 90' '3000 20' >lengths
	sim --config=$QWEN --requests=lengths --tokens=8192 --chunk=1024 --all --keep
	python3 - <<-'PY'
	import json, struct
	from pathlib import Path
	most = 0
	for d in sorted(Path("run/dumps").iterdir()):
	    m = json.loads((d / "metadata.jsonl").read_text().splitlines()[-1])
	    if not m["function_name"].endswith(".plan"):
	        continue
	    raw = (d / "inputs.safetensors").read_bytes()
	    n, = struct.unpack("<Q", raw[:8])
	    t = {}
	    for k, v in json.loads(raw[8:8 + n]).items():
	        a, b = v["data_offsets"]
	        t[k] = struct.unpack(f"<{(b - a) // 4}i", raw[8 + n + a:8 + n + b])
	    if "Decode" in m["function_name"]:
	        ptr, pages, last = t["arg_1"], t["arg_2"], t["arg_3"]
	    else:
	        qo, ptr, pages, last = t["arg_1"], t["arg_2"], t["arg_3"], t["arg_4"]
	        assert qo[-1] <= 1024, qo                  # chunked_prefill_size
	        assert all(a < b for a, b in zip(qo, qo[1:]))
	    assert ptr[0] == 0 and ptr[-1] == len(pages) and len(last) == len(ptr) - 1
	    assert all(1 <= x <= 64 for x in last) and all(1 <= p <= 128 for p in pages), "page 0 is never handed out"
	    own = [pages[a:b] for a, b in zip(ptr, ptr[1:])]
	    assert all(len(set(x)) == len(x) for x in own)
	    most = max(most, len(set(pages)))
	assert 100 < most <= 128, most                         # 8,192 tokens of memory were short
	PY
}

@test "a recorded schedule: as many steps as the real engine, and near to it" {
	need_shared
	python3 "$ONBOARD_SHARED/dumps/expand.py" "$ONBOARD_SHARED/dumps/qwen3-8b-l4_ps1.tar.zst" rec >/dev/null
	dataset $QWEN
	plan 1 ragged gqa_paged_decode_h32_kv8_d128_ps1 gqa_ragged_prefill_causal_h32_kv8_d128 fused_add_rmsnorm_h4096 rmsnorm_h4096 \
		merge_state_h32_d128 top_k_renorm_probs_v151936 top_p_renorm_probs_v151936 min_p_sampling_from_probs_v151936 \
		top_k_top_p_sampling_from_probs_v151936
	sim --config=$QWEN --requests="$ONBOARD_SHARED/dumps/qwen3-8b-l4_ps1.schedule.json" --tokens=8192 --fit --all --keep --against rec/*/ >out
	cat out
	awk -F': *' '/KS distance/ && $2 > 0.2 { bad = 1 } END { exit bad }' out
	# the same keys, kinds and orders as in the recorded calls
	python3 - rec/* run/dumps <<-'PY'
	import json, re, struct, sys
	from pathlib import Path
	def shape(root):
	    seen = {}
	    for d in sorted(Path(root).iterdir()):
	        m = re.fullmatch(r"(\d{8}_\d{6}_\d{3})_pid\d+_(.+)_call\d{4,}", d.name)
	        if not m:
	            continue
	        lines = [json.loads(x) for x in (d / "metadata.jsonl").read_text().splitlines()]
	        def kind(v):
	            return {k: kind(x) if k == "items" else type(x).__name__ for k, x in v.items()} if isinstance(v, dict) else \
	                [kind(x) for x in v] if isinstance(v, list) else type(v).__name__
	        def head(f):
	            if not (d / f).exists():
	                return None
	            with open(d / f, "rb") as h:
	                n, = struct.unpack("<Q", h.read(8))
	                # the restored recording has its keys by name; tests/peers hold the order against the real writer
	                return sorted((k, v["dtype"], len(v["shape"])) for k, v in json.loads(h.read(n)).items()), n % 8
	        key = (tuple(lines[-1]["input_metadata"]), lines[-1]["input_metadata"].get("kwarg_return_lse"))
	        seen.setdefault(m[2], {})[key] = (len(lines), [list(x) for x in lines], {k: kind(v) for k, v in lines[-1]["input_metadata"].items()},
	            list(lines[-1]["tensor_info"]), {k: (list(v), v["dtype"], len(v["shape"])) for k, v in lines[-1]["tensor_details"].items()},
	            head("inputs.safetensors"), head("outputs.safetensors"), [x["execution_status"] for x in lines])
	    return seen
	real, sim = shape(sys.argv[1]), shape(sys.argv[2])
	for f, ways in sim.items():
	    for key, got in ways.items():
	        assert key in real[f], (f, key, list(real[f]))
	        for i, (a, b) in enumerate(zip(got, real[f][key])):
	            assert a == b, (f, i, a, b)
	print(len(sim), "functions are as recorded")
	PY
}

@test "make onboard without a GPU: phase 3 is simulated, counted apart, not existing, not published" {
	"${M[@]}" MODEL=qwen3-8b SIM_FLAGS="--batches=8 --inputs=100 --output=20" onboard 2>err
	grep -q 'never published' err
	jq -e '[.kernels[] | select(.phase3_status == "simulated")] | length > 0 and all(.[]; .workload_entries > 0)' tmp/onboard_*.json
	[ -n "$(find tmp/sim-trace/qwen3-8b/workloads -name '*.jsonl')" ]
	[ -z "$(find tmp/flashinfer-trace -name '*.jsonl')" ]
	jq -e '.items[] | select(.kind == "dataset" and .key == "merge_state_h32_d128") | .ready == false' tmp/run/qwen3-8b/outbox.json
	run "${M[@]}" MODEL=qwen3-8b onboard
	[ "$status" -eq 0 ]
	"${M[@]}" MODEL=qwen3-8b ENGINE=none onboard
	jq -e '.engine == "none"' tmp/run/qwen3-8b/sessions.json
	run "${M[@]}" MODEL=qwen3-8b ENGINE=cuda onboard
	[ "$status" -eq 2 ] && [[ $output == *"auto, sglang, sim or none"* ]]
}

@test "bad input has one sentence" {
	dataset $QWEN
	plan 1 ragged rmsnorm_h4096
	run sim --config=$QWEN --requests=/none
	[ "$status" -eq 1 ] && [[ $output == *"/none"* ]]
	echo '{"requests": [{"prompt_len": 0}]}' >r.json
	run sim --requests=r.json
	[ "$status" -eq 1 ] && [[ $output == *"request 0 has no prompt_len"* ]]
	run B simserve --plan=plan.json --session=other --dataset=ds --dir=run
	[ "$status" -eq 1 ] && [[ $output == *"no session 'other'"* ]]
	# published definitions are not in a dataset of the snapshot: that is no failure, and not tried again
	plan 1 ragged rmsnorm_h77
	rm -rf run
	run sim --config=$QWEN
	[ "$status" -eq 0 ] && [[ $output == *"nothing to simulate"* ]] && [ ! -e run ]
	plan 64 ragged gqa_paged_decode_h32_kv8_d128_ps1
	sim --config=$QWEN --batches=8 --inputs=100 --output=4 2>err || true
	grep -q 'its page size is not' err
	run B simserve --dataset=ds
	[ "$status" -eq 2 ]
}
