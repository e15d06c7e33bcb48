#!/usr/bin/env bats
# checkset: a right dataset has no finding; each defect has its own.
load common

setup() {
	project
	N=gqa_paged_decode_h32_kv8_d128_ps1
	D=ds/definitions/gqa_paged/$N.json W=ds/workloads/gqa_paged/$N.jsonl
	S=ds/solutions/baseline/gqa_paged/$N/wrapper.json T=ds/traces/baseline/gqa_paged/$N.jsonl
	BL=ds/blob/workloads/gqa_paged/$N
	B needed -c manifests/snapshot/configs/llama-3.1-8b.json | B classify --index manifests/snapshot - |
		B mkdef --print --slug llama-3.1-8b - | grep "\"$N\"" >def.json
	fresh
}
fresh() { rm -rf ds; /usr/bin/python3 tests/cli/dataset.py ds <def.json; }
edit() { jq -c "$2" "$1" >x && mv x "$1"; }
# finds PATTERN: checkset exits 1 with an error like this, and the dataset is made anew
finds() {
	run B checkset --kernels=kernels ds
	[ "$status" -eq 1 ] || { echo "no error for: $1"; echo "$output"; return 1; }
	grep -qE "^error .*$1" <<<"$output" || { echo "not found: $1"; echo "$output"; return 1; }
	fresh
}
warns() {
	run B checkset --kernels=kernels ds
	[ "$status" -eq 0 ] && grep -qE "^warning .*$1" <<<"$output" || { echo "not found: $1"; echo "$output"; return 1; }
	fresh
}

@test "a right dataset has no finding" {
	run B checkset --kernels=kernels --json=r.json ds
	[ "$status" -eq 0 ] && [ -z "$output" ]
	jq -e '.errors == 0 and .warnings == 0 and .definitions == 1' r.json
}

@test "layout: names, folders and lines that do not agree" {
	mv $D ds/definitions/gqa_paged/other.json; finds "name '$N' is not the file's, 'other'"
	mkdir ds/definitions/gemm; mv $D ds/definitions/gemm/; finds "op_type 'gqa_paged' is not the folder's, 'gemm'"
	edit $W '.definition = "x"'; finds "definition 'x' is not the file's"
	mkdir ds/workloads/gemm; mv $W ds/workloads/gemm/; finds "folder 'gemm' is not the definition's op_type"
	rm $D; cp def.json ds/definitions/gqa_paged/z.json; edit ds/definitions/gqa_paged/z.json '.name = "z"'; finds "there is no definition '$N'"
	mkdir -p ds/definitions/a; cp $D ds/definitions/a/; finds "duplicate definition name"
	touch ds/definitions/stray.json; warns "stray.json: nothing looks for a file here"
}

@test "definition: schema" {
	for k in name op_type axes inputs outputs reference; do edit $D "del(.$k)"; finds "key '$k'"; done
	edit $D '.axes.head_dim.value = 0'; finds "const axis 'head_dim' has no value of 1"
	edit $D '.axes.head_dim.value = -1'; finds "const axis 'head_dim'"
	edit $D '.axes.head_dim.type = "constant"'; finds "neither var nor const"
	edit $D '.inputs.q.dtype = "unknown"'; finds "dtype 'unknown' is not known"
	edit $D '.inputs.q.shape[0] = "nope"'; finds "axis 'nope', which is not declared"
	edit $D '.outputs.q = .outputs.output'; finds "'q' is both an input and an output"
	edit $D 'del(.inputs.q.description)'; warns "missing description: inputs.q"
	edit $D '.tags -= ["status:verified"]'; warns "no tag tells the status"
	echo '{' >$D; finds "is not valid JSON"
}

@test "definition: the reference's run() and its parameters" {
	edit $D '.reference = "def other(): pass"'; finds "no top-level function run"
	edit $D '.reference |= sub("def run"; "async def run")'; finds "an async one does not count"
	edit $D '.reference |= sub("kv_indptr, kv_indices, sm_scale\\)"; "kv_indices, kv_indptr, sm_scale)")'; finds "run\(\) takes 'kv_indices' where the inputs have 'kv_indptr'"
	edit $D '.reference |= sub("kv_indices, sm_scale\\):"; "kv_indices, sm_scale, extra):")'; finds "run\(\) takes 'extra', which is no input"
	edit $D '.reference = "def run((:"'; finds "no Python|run\(\) takes"
}

@test "definition: constraints and the name's numbers" {
	edit $D '.constraints += ["len_indptr == nothing"]'; finds "'nothing' is neither an axis nor an input"
	edit $D '.constraints += ["len_indptr ="]'; finds "constraint 'len_indptr ='"
	edit $D '.constraints += ["__import__(1)"]'; finds "neither an axis nor an input"
	edit $D '.constraints += ["head_dim == 64"]'; finds "is false whatever the workload"
	edit $D '.axes.num_kv_heads.value = 4'; finds "the name says 8 for axis 'num_kv_heads', which is 4"
}

@test "workload: schema, axes, inputs" {
	edit $W '.solution = "x"'; finds "solution and evaluation of a workload line are null"
	edit $W 'del(.workload.axes.num_pages)'; finds "axis 'num_pages' has no value"
	edit $W '.workload.axes.num_pages = 0'; finds "axis 'num_pages' is 0; it must be 1 or more"
	edit $W '.workload.axes.head_dim = 128'; finds "'head_dim' is no var axis"
	edit $W 'del(.workload.inputs.q)'; finds "input 'q' is missing"
	edit $W '.workload.inputs.x = {"type": "random"}'; finds "'x' is no input of the definition"
	edit $W '.workload.inputs.sm_scale = {"type": "random"}'; finds "a scalar is needed"
	edit $W '.workload.inputs.q = {"type": "scalar", "value": 1}'; finds "a tensor is needed"
	edit $W '.workload.inputs.sm_scale.value = "x"'; finds "its value is no number"
	edit $W '.workload.inputs.q.type = "ones"'; finds "type 'ones' is not known"
	edit $W '.workload.uuid = "same"'; finds "uuid same is also in"
	edit $W 'del(.workload.uuid)'; finds "has no uuid"
	echo '{"definition": ' >>$W; finds "jsonl:4: the line is not valid JSON"
	rm $W; rm -r ds/blob; warns "no workload file"
}

@test "workload: index tensors and blobs" {
	edit $W '.workload.inputs.kv_indptr = {"type": "random"}'; finds "'kv_indptr' is an index tensor; random"
	edit $W '.workload.inputs.kv_indptr.path = "../outside.safetensors"'; finds "leaves the dataset"
	edit $W '.workload.inputs.kv_indptr.path = "/etc/passwd"'; finds "leaves the dataset"
	ln -s /etc $BL/up; edit $W ".workload.inputs.kv_indptr.path = \"./blob/workloads/gqa_paged/$N/up/passwd\""; finds "leaves the dataset"
	edit $W '.workload.inputs.kv_indptr.tensor_key = "nope"'; finds "there is no tensor 'nope'"
	rm $BL/${N}_1.safetensors; finds "unable to open .*_1.safetensors"
	edit $W '.workload.axes.len_indptr += 1'; finds "shape is not that of the axes"
	sed -i 's/"I32"/"F32"/' $BL/*; finds "the blob holds float32, the definition says int32"
	edit $W '.workload.axes.num_pages = 2'; finds "'kv_indices': value 2 at 2 is not in \[0, 2\)"
	cp $BL/${N}_0.safetensors $BL/orphan.safetensors; warns "no workload uses this blob"
}

@test "workload: indptr that falls, or does not end at the count" {
	patch() { /usr/bin/python3 -c 'import sys, struct
p, at, v = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]); b = bytearray(open(p, "rb").read())
n = struct.unpack("<Q", b[:8])[0]; b[8 + n + 4 * at:12 + n + 4 * at] = struct.pack("<i", v); open(p, "wb").write(b)' "$@"; }
	patch $BL/${N}_0.safetensors 1 9; finds "'kv_indptr' falls from 9 to 4 at 2"
	patch $BL/${N}_0.safetensors 0 1; finds "'kv_indptr' begins with 1, not 0"
	patch $BL/${N}_0.safetensors 2 5; finds "'num_kv_indices == kv_indptr\[-1\].item\(\)' does not hold"
}

@test "hostile blobs: cut, huge header, impossible offsets, no safetensors" {
	for s in 0 4 8 20 60; do truncate -s $s $BL/${N}_0.safetensors; finds "_0.safetensors"; done
	printf '\377\377\377\377\377\377\377\177{}' >$BL/${N}_0.safetensors; finds "no safetensors file, or cut"
	printf '\006\0\0\0\0\0\0\0[1,2] ' >$BL/${N}_0.safetensors; finds "header is no JSON object"
	for e in '{"dtype":"I32","shape":[9223372036854775807,4],"data_offsets":[0,8]}' '{"dtype":"I32","shape":[-1],"data_offsets":[0,8]}' \
		'{"dtype":"I32","shape":[3],"data_offsets":[0,99999999]}' '{"dtype":"I32","shape":[3],"data_offsets":[12,0]}' '{"dtype":"Q9","shape":[3],"data_offsets":[0,12]}' '7'; do
		/usr/bin/python3 -c 'import sys, struct
h = ("{\"kv_indptr\":" + sys.argv[2] + "}").encode(); open(sys.argv[1], "wb").write(struct.pack("<Q", len(h)) + h + b"\0" * 24)' $BL/${N}_0.safetensors "$e"
		finds "entry of tensor 'kv_indptr' is not possible"
	done
}

@test "solution and trace" {
	edit $S '.spec.entry_point = "main.py"'; finds "is not FILE::FUNCTION"
	edit $S '.spec.entry_point = "other.py::run"'; finds "'other.py' is not among the sources"
	edit $S '.sources[0].path = "../x"'; finds "leaves the solution"
	edit $S '.spec.language = "java"'; finds "language 'java' is not known"
	edit $S '.author = "x"'; finds "author 'x' is not the path's"
	edit $T '.solution = "nobody"'; finds "solution 'nobody' is not known"
	edit $T 'del(.evaluation.performance)'; finds "PASSED needs performance"
	edit $T '.evaluation.status = "TIMEOUT"'; finds "TIMEOUT has correctness"
	edit $T '.evaluation.performance.latency_ms = -1'; finds "latency_ms is negative"
	edit $T '.evaluation.status = "RUNTIME_ERROR" | del(.evaluation.correctness, .evaluation.performance)'; warns "the baseline is RUNTIME_ERROR"
}

@test "no dataset, no definitions" {
	run B checkset nowhere
	[ "$status" -eq 1 ] && [[ $output == *"nowhere is no folder"* ]]
	mkdir empty; run B checkset empty
	[ "$status" -eq 1 ] && [[ $output == *"holds no OP/NAME.json"* ]]
}
