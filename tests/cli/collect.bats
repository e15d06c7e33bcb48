#!/usr/bin/env bats
# collect: a server from its start to workload files, and what can go wrong.
load common

setup() {
	project
	mkdir -p ds/definitions prov locks
	B needed -c manifests/snapshot/configs/qwen3-8b.json --serving <(echo '{"tp":[1],"ep":[1],"page_sizes":[1]}') |
		B classify --index manifests/snapshot - | jq '.kernels |= map(.phase1_status = "new")' >k.json
	B mkdef --slug x --dataset ds --ours prov -o /dev/null k.json
	jq -n '{sessions: [{name: "s1", tp: 1, ep: 1, page_size: 1, prefill: "ragged", args: ["--page-size", "1"],
		definitions: ["gqa_paged_decode_h32_kv8_d128_ps1", "rmsnorm_h4096"],
		env: {FLASHINFER_LOGLEVEL: "10", FLASHINFER_DUMP_INCLUDE: "rmsnorm,BatchDecode*"}}]}' >plan.json
	C=(collect --plan=plan.json --session=s1 --dataset=ds --dir=run --model=m --gpus=0,1 --locks=locks --wait=0
		--server="python3 tests/cli/engine.py" --enough=8 --batches=4,32 --inputs=64 --output=4)
}
alone() { # nothing that the session started runs on
	local i
	for i in {1..50}; do pgrep -f "$PWD/run|--port [0-9]+ --page-size|sleep 3600 0[.]" >/dev/null || return 0; sleep 0.1; done
	return 1
}
free_gpu() { flock -n locks/onboard-gpu.0 true; }

@test "from start to workload files; the server is gone, the GPU is free" {
	B "${C[@]}"
	jq -e '.status == "done" and .calls > 20 and all(.definitions[]; .entries > 2)' run/session.json
	B checkset --errors --kernels=kernels ds | { ! grep .; }
	grep -q 'sees GPUs 0' run/server.log
	grep -q 'load: 32 at a time' run/collection.log
	alone && free_gpu
}

@test "float data goes from the disk while it runs, and the workloads are the same" {
	ENGINE_DO=big B "${C[@]}"
	[ "$(du -sm run/dumps | cut -f1)" -lt 20 ]
	jq -e '.freed_mib > 100' run/session.json
	jq -e '.workload.axes.num_pages == 4096' ds/workloads/gqa_paged/*.jsonl
}

@test "on a terminal one sees calls, bytes, the definition that lacks most, and the time left" {
	script -qec "$(printf '%q ' "$ONBOARD_BUILD/bin/collect" "${C[@]:1}" --batches=2,3,4,5,6,7,8,9 --inputs=16,64 --enough=9999)" /dev/null >shown </dev/null
	tr '\r' '\n' <shown | grep -Eq 's1: [1-9][0-9]* calls, [0-9.]+ GiB written, [0-9.]+ on disk; fewest candidates: .*; candidates [0-9]+ of [0-9]+ \([0-9]+ %\), [0-9]+ s left' || { od -c shown | head -40; false; }
}

@test "a server that does not start: the log's reason, and nothing is left" {
	ENGINE_DO=start run B "${C[@]}"
	[ "$status" -eq 1 ]
	[[ $output == *"ValueError: this model is not known"* ]]
	jq -e '.status == "failed"' run/session.json
	alone && free_gpu
	ENGINE_DO=hang run B "${C[@]}" --health=1
	[ "$status" -eq 1 ]
	[[ $output == *"not healthy in time"* ]]
	alone && free_gpu
}

@test "out of memory while starting: a smaller share of the memory" {
	ENGINE_DO=memory B "${C[@]}"
	jq -e '.status == "done" and (.attempts | length) == 2 and (.attempts[0].ended | contains("Not enough memory"))
		and .attempts[1].mem_fraction == 0.6' run/session.json
	grep -q -- '--mem-fraction-static 0.60' run/collection.log
}

@test "out of memory under load: fewer requests first" {
	ENGINE_DO=load B "${C[@]}"
	jq -e '.status == "done" and (.attempts | length) == 2 and .attempts[1].mem_fraction == 0' run/session.json
	grep -q 'load: 16 at a time' run/collection.log
}

@test "a server that dies, or refuses every request: said, and the next run goes on" {
	ENGINE_DO=die run B "${C[@]}"
	[ "$status" -eq 1 ]
	[[ $output == *"illegal memory access"* ]]
	ENGINE_DO=refuse run B "${C[@]}"
	[[ $output == *"every request failed (status 400)"*"too long"* ]]
	B "${C[@]}"
	jq -e '.status == "done"' run/session.json
}

@test "a full disk: nothing complete is lost, no orphan, no lock, and the next run ends it" {
	unshare -rm true || skip "no user namespaces here"
	B "${C[@]}" && cp ds/workloads/gqa_paged/*.jsonl before
	mkdir full
	# dumps, log, journal and dataset on one file system, KiB of it free
	cat >on_full <<-'SH'
		mount -t tmpfs -o size=24m full full && cp -r ds full/ds && mkdir full/run && shift
		for free in 256 12 0; do
			rm -rf full/run/* full/fill
			head -c "$(((24576 - free - $(du -sk full | cut -f1)) * 1024))" /dev/zero >full/fill 2>/dev/null
			"$@" >out 2>&1; echo "$? $(grep -c 'No space left on device' out)" >>codes
			cmp before full/ds/workloads/gqa_paged/*.jsonl || echo "$free" >>changed
		done
		rm -rf full/fill full/run/*
		"$@" && cp -r full/ds kept
	SH
	F=("${C[@]/#--dataset=ds/--dataset=full/ds}"); F=("${F[@]/#--dir=run/--dir=full/run}")
	unshare -rm bash on_full x "$ONBOARD_BUILD/bin/collect" "${F[@]:1}"
	[ ! -e changed ] && [ "$(grep -c '^75 [1-9]' codes)" -eq 3 ]
	cmp before kept/workloads/gqa_paged/*.jsonl
	B checkset --kernels=kernels kept | { ! grep -E '^error|no workload uses'; }
	alone && free_gpu
}

@test "no dump: what matched nothing, and what FlashInfer was called as" {
	ENGINE_DO=silent run B "${C[@]}"
	[ "$status" -eq 1 ]
	[[ $output == *"FLASHINFER_DUMP_INCLUDE=rmsnorm,BatchDecode* matched nothing"*"other_api"* ]]
}

@test "GPUs: all or nothing, busy ones are waited for and then said" {
	jq '.sessions[0].tp = 2' plan.json >p2 && mv p2 plan.json
	flock locks/onboard-gpu.1 sleep 3 &
	sleep 0.2
	run B "${C[@]}"
	[ "$status" -eq 75 ]
	[[ $output == *"stayed busy"* ]]
	free_gpu
	B "${C[@]}" --wait=20
	grep -q 'sees GPUs 0,1' run/server.log
	run B "${C[@]}" --gpus=0
	[[ $output == *"2 GPUs are wanted and there are 1"* ]]
}

@test "kill -9 of collect, of its keeper, of the server: no orphan, no lock, same workloads in the end" {
	local who i
	for who in collect onboard-keeper engine; do
		for i in 0.3 0.9 1.6; do
			"$ONBOARD_BUILD/bin/${C[0]}" "${C[@]:1}" 2>/dev/null &
			local pid=$!
			sleep "$i"
			case $who in
			collect) kill -9 "$pid" 2>/dev/null || true ;;
			onboard-keeper) pkill -9 -x onboard-keeper -P "$pid" || true ;;
			engine) pkill -9 -f '^python3 tests/cli/engine.py' || true ;;
			esac
			wait "$pid" || true
			alone
			for _ in {1..50}; do free_gpu && break; sleep 0.1; done
			free_gpu
		done
	done
	B "${C[@]}"
	jq -e '.status == "done"' run/session.json
	B checkset --errors --kernels=kernels ds | { ! grep .; }
}

@test "make workloads: sessions of two models side by side, once; the manifest says so" {
	M+=("MODELS=qwen3-8b llama-3.1-8b" TP=1 PAGE_SIZES=1 MODEL_PATH=m "SERVER=python3 tests/cli/engine.py")
	jq '.workloads = {} | .definitions = {}' manifests/snapshot/flashinfer_trace.json >t && mv t manifests/snapshot/flashinfer_trace.json
	M+=("COLLECT_FLAGS=--gpus=0,1 --locks=locks --enough=8 --batches=4 --inputs=64 --output=4")
	"${M[@]}" -j2 -s workloads 2>err || { cat err; false; }
	[ "$(find tmp/run/*/sessions -name "done.*" | wc -l)" -ge 1 ]
	"${M[@]}" -s onboard
	jq -e '[.kernels[] | select(.phase3_status == "done")] | length > 0 and all(.[]; .workload_entries > 0)' tmp/onboard_*_*.json
	"${M[@]}" -s workloads "SERVER=touch started"
	[ ! -e started ]
}

@test "out of memory to the end at TP 2: TP 1 and its own definitions come by themselves" {
	jq '.workloads = {} | .definitions = {}' manifests/snapshot/flashinfer_trace.json >t && mv t manifests/snapshot/flashinfer_trace.json
	M+=(MODEL=qwen3-8b TP=2 PAGE_SIZES=1 MODEL_PATH=m "SERVER=python3 tests/cli/engine.py")
	M+=("COLLECT_FLAGS=--gpus=0,1 --locks=locks --enough=8 --batches=4 --inputs=64 --output=4")
	ENGINE_DO=tp "${M[@]}" -s -j2 onboard 2>err || { cat err; false; }
	grep -q 'TP 1 is planned as well' err
	jq -e '[.attempts[] | .ended | contains("Not enough memory")] | length == 3 and all' tmp/run/qwen3-8b/sessions/tp2_*/session.json
	# once: neither TP is tried again
	"${M[@]}" -s workloads "SERVER=touch started"
	"${M[@]}" -s onboard "SERVER=touch started" "PHASES=0,1,2,3,4"
	jq -e '[.kernels[] | select(.phase3_status == "done")] | length > 0 and all(.[]; .definition_name | test("h16_kv4") | not)' tmp/onboard_*.json
	jq -e '.kernels[] | select(.definition_name == "gqa_paged_decode_h16_kv4_d128_ps1") | .phase3_status |
		startswith("failed (") and contains("TP 1 is next")' tmp/onboard_*.json
	jq -e '.kernels[] | select(.definition_name == "gqa_paged_decode_h32_kv8_d128_ps1") | .phase3_status == "done"' tmp/onboard_*.json
	[ ! -e started ]
}

@test "a launcher runs the session, with its number of GPUs" {
	jq '.workloads = {} | .definitions = {}' manifests/snapshot/flashinfer_trace.json >t && mv t manifests/snapshot/flashinfer_trace.json
	M+=(MODEL=qwen3-8b TP=1 PAGE_SIZES=1 MODEL_PATH=m "SERVER=python3 tests/cli/engine.py" "LAUNCHER=env GRES=gpu:{tp} tests/launch")
	printf '#!/bin/sh\necho "$GRES" >>launched\nexec "$@"\n' >tests/launch && chmod +x tests/launch
	"${M[@]}" -s workloads "COLLECT_FLAGS=--gpus=0 --locks=locks --enough=8 --batches=4 --inputs=64 --output=4"
	sort -u launched | diff - <(echo gpu:1)
}

@test "phase 2: a short pass of the engine brings FlashInfer's own Definitions, told as trace_dump" {
	jq '.workloads = {} | .definitions = {}' manifests/snapshot/flashinfer_trace.json >t && mv t manifests/snapshot/flashinfer_trace.json
	M+=(MODEL=qwen3-8b TP=1 PAGE_SIZES=1 MODEL_PATH=m PHASES=0,1,2 "SERVER=python3 tests/cli/engine.py")
	M+=("COLLECT_FLAGS=--gpus=0 --locks=locks --enough=8 --batches=4 --inputs=64 --output=4")
	"${M[@]}" -s onboard 2>err || { cat err; false; }
	jq -e '.definitions[] | select(.definition_name == "rmsnorm_h4096") | .method == "trace_dump"' tmp/run/qwen3-8b/definitions.json
	jq -e '.definitions[] | select(.definition_name == "fused_add_rmsnorm_h4096") | .method == "manual"' tmp/run/qwen3-8b/definitions.json
	jq -e '.description == "from the engine" and (.reference | test("def run\\(hidden_states, weight\\)"))' \
		tmp/flashinfer-trace/definitions/rmsnorm/rmsnorm_h4096.json
	jq -e '.kernels[] | select(.definition_name == "rmsnorm_h4096") | .phase2_method == "trace_dump"' tmp/onboard_qwen3-8b_*.json
	[ -z "$(find tmp/run/qwen3-8b/trace -path '*dumps/*' -type d)" ]
	# once: the next run starts no engine, nor does one of phase 1
	"${M[@]}" -s onboard "SERVER=touch started"
	[ ! -e started ]
}

@test "phase 2: an engine that does not start leaves the definitions to the catalogue" {
	jq '.workloads = {} | .definitions = {}' manifests/snapshot/flashinfer_trace.json >t && mv t manifests/snapshot/flashinfer_trace.json
	M+=(MODEL=qwen3-8b TP=1 PAGE_SIZES=1 MODEL_PATH=m PHASES=0,1,2 "SERVER=python3 tests/cli/engine.py" "COLLECT_FLAGS=--gpus=0 --locks=locks")
	ENGINE_DO=start run "${M[@]}" -s onboard
	[ "$status" -eq 0 ]; [[ $output == *"a trace pass failed"* ]]
	jq -e '.definitions | length > 0 and all(.[]; .method != "trace_dump")' tmp/run/qwen3-8b/definitions.json
}
