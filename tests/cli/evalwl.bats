#!/usr/bin/env bats
# evalwl and mksol without PyTorch: bad input, no GPU, sources of solutions. What evaluates is in tests/peers/evaluate.py.
load common

setup() {
	project
	N=gqa_paged_decode_h32_kv8_d128_ps1
	W=ds/workloads/gqa_paged/$N.jsonl
	B needed -c manifests/snapshot/configs/llama-3.1-8b.json | B classify --index manifests/snapshot - |
		B mkdef --print --slug llama-3.1-8b - >all.json
	grep "\"$N\"" all.json >def.json
	/usr/bin/python3 tests/cli/dataset.py ds <def.json
	rm -rf ds/traces
	E=(evalwl -d ds -c cache --lib lib --device=cpu --python=/bin/false --timeout=5)
}
edit() { jq -c "$2" "$1" >x && mv x "$1"; }
# says STATUS PATTERN ARGS...: how evalwl ends, and its sentence
says() {
	run B "${E[@]}" "${@:3}"
	[ "$status" -eq "$1" ] && grep -qE "^evalwl: .*$2" <<<"$output" || { echo "status $status, not $1: $2"; echo "$output"; return 1; }
}

@test "usage, and names that are no definition's" {
	run B evalwl; [ "$status" -eq 2 ]
	says 2 "is no definition's name" ../x
	says 1 "ds/definitions has no absent.json" absent
	says 2 "--device is cuda or cpu" --device=tpu $N
	E+=(--trials=0); says 2 "at least 1" $N
}

@test "without a GPU it says so, and that it is worth another try" {
	[ -z "$(compgen -G '/dev/nvidia[0-9]*')" ] || skip "there is a GPU here"
	E=(evalwl -d ds -c cache); unset CUDA_VISIBLE_DEVICES
	says 75 "there is no GPU here" $N
}

@test "a Python without PyTorch is named, with where its words are" {
	says 75 "/bin/false did not start \(status 1\); its words are in cache/evalpy.log" $N
	printf '#!/bin/sh\necho Traceback >&2\necho "no module torch" >&2\nexit 3\n' >python
	chmod +x python
	says 75 "python did not start \(status 3\): no module torch; its words are in cache/evalpy.log" --python=./python $N
}

@test "the table of times: what cannot be one is told by file and line" {
	table() { run scripts/gpu-table "${@:2}"; [ "$status" = 1 ]; [[ $output == *"$1"* ]]; }
	run scripts/gpu-table ds; [ "$status" = 2 ]; [[ $output == usage:* ]]
	table "traces has no traces" ds traces
	mkdir -p traces/a/op
	echo '{"definition": "x"}' >traces/a/op/x.jsonl
	table "traces/a/op/x.jsonl:1 is no trace" ds traces
	jq -nc '{definition: "absent", solution: "s", workload: {uuid: "u", axes: {}, inputs: {}}, evaluation: {status: "PASSED",
		performance: {latency_ms: 1, reference_latency_ms: 2}, correctness: {}}}' >traces/a/op/x.jsonl
	mv traces/a traces/onboard
	table "ds has no definition absent" ds traces
	# one that was not timed is counted, nothing more
	jq -c 'del(.evaluation.performance)' traces/onboard/op/x.jsonl >t && mv t traces/onboard/op/x.jsonl
	run scripts/gpu-table ds traces; [ "$status" = 0 ]; [[ $output == *"s: 1 not timed"* ]]
}

@test "workloads that cannot be are told and left out" {
	cp $W good
	edit $W 'select(.) | .workload.inputs.kv_indptr.path = "../../etc/passwd"'
	says 0 "workload .*: kv_indptr: its path is not one below the dataset" $N
	cp good $W; edit $W '.workload.inputs.sm_scale = {"type": "random"}'
	says 0 "sm_scale: a scalar has to have a value" $N
	cp good $W; edit $W '.workload.axes.num_kv_indices += 1'
	says 0 "its shape in .* is not the definition's for these axes" $N
	cp good $W; edit $W 'del(.workload.axes.batch_size)'
	says 0 "has no size in this workload" $N
	cp good $W; edit $W '.workload.axes.num_pages = 99999999999999'
	says 0 "over 2.40 elements" $N
	cp good $W; edit $W 'del(.workload.uuid)'
	says 1 "without uuid" $N
	cp good $W; echo '{"definition": 1' >>$W
	says 1 "$N.jsonl" $N
	cp good $W; for f in ds/blob/workloads/gqa_paged/$N/*; do truncate -s 40 "$f"; done
	says 0 "workload .*safetensors" $N
	[ -z "$(find ds -path '*traces*' -type f)" ]
}

@test "a solution that is not built is named, and what builds it" {
	S=ds/solutions/x/gqa_paged/$N; mkdir -p $S
	jq '.name = "x" | .author = "x" | .spec.language = "cuda"' ds/solutions/baseline/gqa_paged/$N/*.json >$S/x.json
	says 75 "x: lib/x.so is not there; make kernels builds it" $N
	jq '.name = "../x"' $S/x.json >$S/y.json
	says 1 "it has no name" $N
}

@test "kernels of ours: sources with a definition's constants, the same bytes, times kept" {
	rm -rf ds; while read -r d; do
		f=ds/definitions/$(jq -r '"\(.op_type)/\(.name).json"' <<<"$d"); mkdir -p "${f%/*}"; jq . <<<"$d" >"$f"
	done <all.json
	B mksol -d ds -t gpu
	grep -q '#define AX_num_kv_heads 8$' gpu/src/$N/axes.h
	grep -q '#define P_eps 1e-05$\|#define P_eps 1.0*e-05$' gpu/src/rmsnorm_h4096/axes.h
	! grep -q ARG_kv_last_page_len gpu/src/$N/axes.h
	grep -q ARG_kv_last_page_len gpu/src/${N%ps1}ps64/axes.h || [ ! -e ds/definitions/gqa_paged/${N%ps1}ps64.json ]
	grep -q "^gpu/lib/onboard_cuda_$N.so: gpu/src/$N/kernel.cu .*decode.cuh" gpu/kernels.mk
	B checkset --kernels=kernels -q ds
	find gpu ds -type f -printf '%p %T@\n' | sort >before; B mksol -d ds -t gpu
	find gpu ds -type f -printf '%p %T@\n' | sort | diff before -
	jq -r .reference ds/definitions/rmsnorm/rmsnorm_h4096.json >r
	jq '.reference |= gsub("EPS = [^\n]*"; "EPS = tiny()")' ds/definitions/rmsnorm/rmsnorm_h4096.json >x; mv x ds/definitions/rmsnorm/rmsnorm_h4096.json
	run B mksol -d ds -t gpu rmsnorm_h4096
	[ "$status" -eq 1 ]; [[ $output == *"does not say what eps is"* ]]
}

@test "a variant with a window does not get the kernel without, and its own only if its reference says how wide" {
	jq -c '.name |= sub("$"; "_sw512") | .tags += ["x"]' def.json >v.json
	mkdir -p v/definitions/gqa_paged; jq . v.json >v/definitions/gqa_paged/${N}_sw512.json
	run B mksol -d v -t gpu2
	[ "$status" -eq 1 ]; [[ $output == *"${N}_sw512: its reference does not say what window is"* ]]
	[ ! -e v/solutions ]
	jq '.reference |= "WINDOW = 512\nCAP = 0\n" + .' v.json >v/definitions/gqa_paged/${N}_sw512.json
	B mksol -d v -t gpu2
	grep -qx '#define P_window 512' gpu2/src/${N}_sw512/axes.h
	grep -qx '#define ATTEND_WINDOW P_window' gpu2/src/${N}_sw512/kernel.cu
}

@test "what becomes a word of C is one" {
	D=(ds/definitions/*/$N.json)
	edit "${D[0]}" '.axes["x 1\n#include"] = {type: "const", value: 3}'
	run B mksol -d ds -t gpu $N
	[ "$status" = 1 ]; [[ $output == "mksol: $N: 'x 1"*"is to be one word"* ]]
	[ ! -e gpu/src/$N/axes.h ]
}

@test "bench-gpu measures the workloads of another tree" {
	mkdir -p other/workloads/gqa_paged
	cp $W other/workloads/gqa_paged/
	run "${M[@]}" -n has_gpu=y DATASET=ds WORKLOADS=other bench-gpu
	[ "$status" -eq 0 ]
	[[ $output == *" --workloads=other --traces=tmp/bench/traces "*" $N; scripts/gpu-table ds tmp/bench/traces other;"* ]]
}
