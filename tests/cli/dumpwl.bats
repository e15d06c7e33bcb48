#!/usr/bin/env bats
# dumpwl: recorded calls to workload files. The tests named P.. are the
# defects of upstream's sanitizer, none of which is ours.
load common

setup() {
	project
	mkdir -p ds/definitions prov
	for c in qwen3-8b deepseek-v3; do
		B needed -c manifests/snapshot/configs/$c.json --serving <(echo '{"tp":[1],"ep":[1],"page_sizes":[1,64]}') |
			B classify --index manifests/snapshot - | jq '.kernels |= map(.phase1_status = "new")' >k.json
		B mkdef --slug $c --dataset ds --ours prov -o /dev/null k.json
	done
	W=ds/workloads
	DEC=gqa_paged_decode_h32_kv8_d128_ps1
}
dumps() { python3 tests/cli/dumps.py "$1"; }
# a plan and a run of decode: t self batch pages-a-request pool [extra fields of the run]
PYGEN='
import json, sys
def plan(t, w, lens, pool=5000, ps=1, kv=8, d=128, h=32, **k):
    n = [-(-x // ps) for x in lens]; ptr = [0]
    for x in n: ptr.append(ptr[-1] + x)
    idx = [(7 * i + w) % pool for i in range(ptr[-1])]
    return {"t": t, "f": "BatchDecodeWithPagedKVCacheWrapper.plan", "self": w, "args": {"indptr": ["I32", [len(ptr)], ptr],
        "indices": ["I32", [len(idx)], idx], "last_page_len": ["I32", [len(n)], [(x - 1) % ps + 1 if x else 0 for x in lens]],
        "num_qo_heads": h, "num_kv_heads": kv, "head_dim": d, "page_size": ps}, **k}
def run(t, w, batch, pool=5000, ps=1, kv=8, d=128, h=32, cache=None, **k):
    cache = cache or ([pool, kv, d] if ps == 1 else [pool, ps, kv, d])
    return {"t": t, "f": "BatchDecodeWithPagedKVCacheWrapper.run", "self": w, "args": {"q": ["BF16", [batch, h, d]],
        "paged_kv_cache": {"tuple": [["BF16", cache], ["BF16", cache]]}}, **k}
def norm(t, n, h=4096, **k):
    return {"t": t, "f": "rmsnorm", "args": {"input": ["BF16", [n, h]], "weight": ["BF16", [h]], "eps": 1e-6}, **k}
'
gen() { python3 -c "$PYGEN
print(json.dumps($1))" | dumps "${2:-d}"; }
wl() { B dumpwl --dataset ds --json r.json "$@" d; }
of() { jq -c ".definitions[\"$1\"] | $2" r.json; }

@test "decode, norms: pairs, real pool size, real scale, valid for checkset" {
	gen '[plan(1, 16, [5, 9]), *[run(2 + i, 16, 2) for i in range(3)], norm(9, 77)]'
	wl
	[ "$(of $DEC '[.seen, .accepted, .entries]')" = '[3,3,1]' ]
	jq -e '.workload.axes == {"batch_size": 2, "num_pages": 5000, "len_indptr": 3, "num_kv_indices": 14}
		and (.workload.inputs.sm_scale.value * 128 * .workload.inputs.sm_scale.value - 1 | fabs < 1e-9)' $W/gqa_paged/$DEC.jsonl
	jq -e '.workload.axes.batch_size == 77' $W/rmsnorm/rmsnorm_h4096.jsonl
	B checkset --errors --kernels=kernels ds | { ! grep .; }
}

@test "P01 pairs by wrapper: two wrappers, both plans first" {
	gen '[plan(1, 16, [5, 9]), plan(2, 17, [3, 3, 3]), run(3, 16, 2), run(4, 17, 3)]'
	wl
	[ "$(jq -c '[.workload.axes.batch_size, .workload.axes.len_indptr]' $W/gqa_paged/$DEC.jsonl)" = $'[2,3]\n[3,4]' ]
}

@test "P01 without self_id the object's repr tells the wrapper" {
	gen '[plan(1, 16, [5, 9], with_id=False), plan(2, 17, [3, 3, 3], with_id=False), run(3, 16, 2, with_id=False), run(4, 17, 3, with_id=False)]'
	wl
	[ "$(wc -l <$W/gqa_paged/$DEC.jsonl)" -eq 2 ]
}

@test "P02 a prefill plan between a decode plan and its run" {
	gen '[plan(1, 16, [5, 9]), {**plan(2, 18, [8, 8]), "f": "BatchPrefillWithPagedKVCacheWrapper.plan"}, run(3, 16, 2)]'
	wl
	[ "$(of $DEC .accepted)" = 1 ]
	jq -e '.workload.axes.num_kv_indices == 14' $W/gqa_paged/$DEC.jsonl
}

@test "P03 run and next plan in one millisecond: by when they were written, by fit, or refused" {
	gen '[plan(1, 16, [5, 9]), run(2, 16, 2, mtime=1700000000000000100), plan(2, 16, [6, 9], mtime=1700000000000000200)]'
	wl
	jq -e '.workload.axes.num_kv_indices == 14' $W/gqa_paged/$DEC.jsonl
	rm -rf d $W
	gen '[plan(1, 16, [5, 9]), run(2, 16, 2, mtime=1700000000000000000), plan(2, 16, [6, 9, 1], mtime=1700000000000000000)]'
	wl
	jq -e '.workload.axes.num_kv_indices == 14' $W/gqa_paged/$DEC.jsonl
	rm -rf d $W
	gen '[plan(1, 16, [5, 9]), run(2, 16, 2, mtime=1700000000000000000), plan(2, 16, [6, 9], mtime=1700000000000000000)]'
	wl
	[ ! -e $W/gqa_paged/$DEC.jsonl ]
	of $DEC .refused | grep -q 'two plans of its millisecond fit'
}

@test "P04 the scale: of the call, of plan(), else of the head's real size" {
	gen '[plan(1, 16, [5], d=64, kv=4), run(2, 16, 1, d=64, kv=4)]'
	jq '(.axes.head_dim.value = 64) | (.axes.num_kv_heads.value = 4) | .name = "gqa_paged_decode_h32_kv4_d64_ps1"' \
		ds/definitions/gqa_paged/$DEC.json >ds/definitions/gqa_paged/gqa_paged_decode_h32_kv4_d64_ps1.json
	wl
	jq -e '.workload.inputs.sm_scale.value == 0.125' $W/gqa_paged/gqa_paged_decode_h32_kv4_d64_ps1.jsonl
	rm -rf d $W
	gen '[{**(p := plan(1, 16, [5])), "args": {**p["args"], "sm_scale": 0.25}}, run(2, 16, 1)]'
	wl
	jq -e '.workload.inputs.sm_scale.value == 0.25' $W/gqa_paged/$DEC.jsonl
}

@test "P05 P14 const axes are always compared; a call is recorded for the definition that it is of" {
	gen '[plan(1, 16, [40], h=64, kv=4, d=64, ps=16), run(2, 16, 1, h=64, kv=4, d=64, ps=16), plan(3, 17, [5]), run(4, 17, 1)]'
	wl
	[ "$(of $DEC '[.seen, .accepted]')" = '[2,1]' ]
	of $DEC .refused | grep -q 'num_qo_heads is 64, not 32'
	[ "$(of gqa_paged_decode_h32_kv8_d128_ps64 .accepted)" = 0 ]
}

@test "P06 a run without a plan is refused for that reason" {
	gen '[run(2, 16, 1)]'
	wl
	of $DEC .refused | grep -q 'no plan() of its wrapper'
}

@test "P07 P08 the pool's true size, also when nothing is in it" {
	gen '[plan(1, 16, [3, 0, 2]), run(2, 16, 3)]'
	wl
	jq -e '.workload.axes.num_pages == 5000' $W/gqa_paged/$DEC.jsonl
}

@test "P09 P22 equal calls: one workload, one blob" {
	gen '[plan(1, 16, [5, 9]), *[run(2 + i, 16, 2) for i in range(30)]]'
	wl
	[ "$(wc -l <$W/gqa_paged/$DEC.jsonl)" -eq 1 ]
	[ "$(find ds/blob -type f | wc -l)" -eq 1 ]
}

@test "P10 the same dumps twice add nothing; other dumps are added" {
	gen '[plan(1, 16, [5, 9]), run(2, 16, 2)]'
	wl; cp $W/gqa_paged/$DEC.jsonl one
	wl; cmp one $W/gqa_paged/$DEC.jsonl
	gen '[plan(1, 16, [5, 9, 4]), run(2, 16, 3)]' e
	B dumpwl --dataset ds e
	[ "$(wc -l <$W/gqa_paged/$DEC.jsonl)" -eq 2 ]
	head -1 $W/gqa_paged/$DEC.jsonl | cmp - one
}

@test "P11 a call that crashed is refused" {
	gen '[plan(1, 16, [5]), run(2, 16, 1, status="inputs_saved")]'
	wl
	[ ! -e $W/gqa_paged/$DEC.jsonl ]
	of $DEC .refused | grep -q 'did not complete'
}

# a decode graph of two requests, captured at 2, replayed behind plans of other lengths; all on one pool
graph() { python3 -c "$PYGEN
at = lambda ms: 1767225600 * 10**9 + ms * 10**6
steps = [(10, [5, 9]), (30, [6, 10]), (50, [7, 11])]
plans = [plan(t, 16, lens, mtime=at(t) + 1) for t, lens in steps] + [plan(40, 17, [1, 1], mtime=at(40) + 1)]
print(json.dumps(plans + [run(2, 16, 2, replays=[[20, {}], [35, {}], [60, {}]]${1:+, $1})]))" | python3 tests/cli/dumps.py d ${2:-}; }

@test "P12 replays of a CUDA graph, each with the plan before it: by the files' times" {
	graph
	wl
	[ "$(of $DEC '[.seen, .accepted]')" = '[3,3]' ]
	[ "$(jq -c '.workload.axes.num_kv_indices' $W/gqa_paged/$DEC.jsonl | sort -n | tr '\n' ' ')" = '14 16 18 ' ]
	cp $W/gqa_paged/$DEC.jsonl first; wl; cmp first $W/gqa_paged/$DEC.jsonl
	B checkset --errors --kernels=kernels ds | { ! grep .; }
	# in an archive the times are the archive's; whole seconds, where session.jsonl tells
	tar --format=pax -cf - d | zstd -q >d.tar.zst; rm -rf $W d
	B dumpwl --dataset ds d.tar.zst; cmp first $W/gqa_paged/$DEC.jsonl
	graph "" --session
	tar --format=ustar -cf - d | zstd -q >d.tar.zst; rm -rf $W d
	B dumpwl --dataset ds d.tar.zst; cmp first $W/gqa_paged/$DEC.jsonl
}

@test "P12 by session.jsonl where the times are lost; refused where neither tells" {
	graph "" --session
	find d -name '*.safetensors' -exec touch -d '2026-01-01 00:00:00' {} +
	wl
	[ "$(jq -c '.workload.axes.num_kv_indices' $W/gqa_paged/$DEC.jsonl | sort -n | tr '\n' ' ')" = '14 16 18 ' ]
	rm -rf d/session.jsonl $W
	wl
	[ "$(of $DEC '[.seen, .accepted]')" = '[3,0]' ] && [ ! -e $W/gqa_paged/$DEC.jsonl ]
	of $DEC .refused | grep -q 'neither session.jsonl nor the times'
}

@test "P12 a captured call that was never replayed is refused, one without outputs is not" {
	gen '[plan(1, 16, [5]), run(2, 16, 1, status="graph_capture_pending_flush")]'
	wl
	of $DEC .refused | grep -q 'did not complete (graph_capture_pending_flush)'
	rm -rf d; graph in_place=True
	wl
	[ "$(of $DEC '[.seen, .accepted]')" = '[3,3]' ]
}

@test "sparse latent attention: inputs that are parts of one tensor, requests and their tokens" {
	need_shared
	B needed -c "$ONBOARD_SHARED/models/deepseek-v3.2.json" --serving <(echo '{"tp":[8],"ep":[1],"page_sizes":[64]}') |
		B classify --index manifests/snapshot - | jq '.kernels |= map(.phase1_status = "new")' >k.json
	B mkdef --slug y --dataset ds --ours prov -o /dev/null k.json
	D=dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps64
	python3 - <<-'PY' | dumps d
		import json
		def call(t, batch, tokens, dim=576, heads=16, topk=2048, three=False, last=1279):
		    pages = ["BF16", [20, 64, dim] if three else [20, 1, 64, dim]]
		    n = batch * tokens * topk
		    return {"t": t, "f": "trtllm_batch_decode_with_kv_cache_mla", "positional": False, "args": {"query": ["BF16", [batch, tokens, heads, dim]],
		        "kv_cache": pages, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "block_tables": ["I32", [batch, tokens, topk], [(7 * i) % (last + 1) for i in range(n - 1)] + [last]],
		        "sparse_mla_top_k": topk, "bmm1_scale": 0.1}}
		print(json.dumps([call(1, 2, 1), call(2, 3, 2, three=True), call(3, 2, 1, dim=640), call(4, 2, 1, heads=8), call(5, 2, 1, topk=1024),
		    call(6, 2, 1, last=1280)]))
	PY
	wl
	[ "$(of $D '[.seen, .accepted]')" = '[6,2]' ]
	[ "$(jq -c '[.workload.axes.num_tokens, .workload.axes.num_pages, .workload.inputs.sm_scale.value]' $W/dsa_paged/$D.jsonl | sort | tr '\n' ' ')" = '[2,20,0.1] [6,20,0.1] ' ]
	of $D .refused | grep -q 'the last dimension of query is 640, not 576'
	of $D .refused | grep -q 'num_qo_heads of input .* is 8, not 16'
	of $D .refused | grep -q 'topk is 1024, not 2048'
	of $D .refused | grep -q 'value 1280 at'
	B checkset --errors --kernels=kernels ds | { ! grep .; }
}

@test "P13 truncated and hostile dumps are counted with a reason, the others go on" {
	gen '[norm(1, 5, cut=4), norm(2, 6, cut=60), norm(3, 7, raw="{"), norm(4, 8, raw=""), norm(5, 9, raw="[1]"), norm(6, 10)]'
	mkdir -p d/20260101_000000_999_pid7_rmsnorm_call0009 d/20260101_000001_000_pid7_rmsnorm_call0010
	ln -s /etc/passwd d/20260101_000000_999_pid7_rmsnorm_call0009/metadata.jsonl
	mkfifo d/20260101_000001_000_pid7_rmsnorm_call0010/metadata.jsonl
	printf '\xff\xff\xff\xff\xff\xff\xff\x7f{}' >d/20260101_000000_002_pid7_rmsnorm_call0002/inputs.safetensors
	wl
	[ "$(of rmsnorm_h4096 '[.seen, .accepted]')" = '[8,1]' ]
	jq -e '.unreadable == 7 and (.unreadable_because | add) == 7' r.json
	jq -e '.workload.axes.batch_size == 10' $W/rmsnorm/rmsnorm_h4096.jsonl
}

@test "P15 P16 negative pages, pages outside the pool, an indptr past its indices, one that falls" {
	gen '[{**(p := plan(1, 16, [2])), "args": {**p["args"], "indices": ["I32", [2], [-1, 3]]}}, run(2, 16, 1),
		plan(3, 17, [4]), run(4, 17, 1, pool=3),
		{**(p := plan(5, 18, [2])), "args": {**p["args"], "indptr": ["I32", [2], [0, 9]]}}, run(6, 18, 1),
		{**(p := plan(7, 19, [2, 2])), "args": {**p["args"], "indptr": ["I32", [3], [0, 3, 2]]}}, run(8, 19, 2)]'
	wl
	[ "$(of $DEC '[.seen, .accepted]')" = '[4,0]' ]
	[ "$(of $DEC '.refused | length')" = 4 ]
	[ ! -e $W/gqa_paged/$DEC.jsonl ] && [ ! -e ds/blob ]
}

@test "P17 P24 selection sees all candidates and keeps the extremes" {
	gen '[x for b in range(1, 41) for x in (plan(10 * b, 16, [b + 3] * b), run(10 * b + 1, 16, b))]'
	wl --max-new-workloads 4
	jq -s '[.[].workload.axes.batch_size]' $W/gqa_paged/$DEC.jsonl >b
	jq -e 'length == 4 and min == 1 and max == 40' b
	[ "$(of $DEC .axes.batch_size)" = '{"min":1,"max":40,"distinct":40}' ]
}

@test "P18 keyword calls whose names differ from the definition's" {
	gen '[norm(1, 5, positional=False)]'
	wl
	jq -e '.workload.axes == {"batch_size": 5}' $W/rmsnorm/rmsnorm_h4096.jsonl
}

@test "P19 rank and dtype are compared" {
	gen '[{**(n := norm(1, 2)), "args": {**n["args"], "input": ["BF16", [2, 4096, 128]]}},
		{**(n := norm(2, 2)), "args": {**n["args"], "input": ["F32", [2, 4096]]}}]'
	wl
	[ "$(of rmsnorm_h4096 .accepted)" = 0 ]
	of rmsnorm_h4096 .refused | grep -q 'has 3 dimensions, not 2'
	of rmsnorm_h4096 .refused | grep -q 'is float32, not bfloat16'
}

@test "P23 --replace never exchanges a file for an empty or poorer one" {
	gen '[plan(1, 16, [5, 9]), run(2, 16, 2), plan(3, 16, [5, 9, 1]), run(4, 16, 3)]'
	wl; cp $W/gqa_paged/$DEC.jsonl one; n=$(find ds/blob -type f | wc -l)
	gen '[plan(1, 16, [5, 9]), run(2, 16, 2, status="inputs_saved")]' e
	B dumpwl --dataset ds --replace e 2>err
	cmp one $W/gqa_paged/$DEC.jsonl && [ "$(find ds/blob -type f | wc -l)" -eq "$n" ]
	grep -q 'stays as it is: no call fits' err
	gen '[plan(1, 16, [6, 9]), run(2, 16, 2)]' f
	B dumpwl --dataset ds --replace f 2>err
	cmp one $W/gqa_paged/$DEC.jsonl
	gen '[plan(1, 16, [6, 9]), run(2, 16, 2), plan(3, 16, [5, 9, 1, 1]), run(4, 16, 4)]' g
	B dumpwl --dataset ds --replace g
	! cmp -s one $W/gqa_paged/$DEC.jsonl
	# blobs of the former file are gone, none is without its line
	B checkset --kernels=kernels ds | { ! grep -E 'no workload uses|unable to open'; }
}

@test "page size 64: HND, one tensor for both halves, tokens without pages" {
	gen '[plan(1, 16, [70, 9], ps=64, pool=300), run(2, 16, 2, ps=64, pool=300),
		plan(3, 17, [71, 9], ps=64, pool=300), run(4, 17, 2, ps=64, cache=[300, 8, 64, 128]),
		plan(5, 18, [72, 9], ps=64, pool=300), {**(r := run(6, 18, 2, ps=64)), "args": {**r["args"], "paged_kv_cache": ["BF16", [300, 2, 64, 8, 128]]}},
		plan(7, 19, [73, 9], ps=64, pool=300), run(8, 19, 2, ps=64, cache=[19200, 8, 128])]'
	wl
	[ "$(of gqa_paged_decode_h32_kv8_d128_ps64 '[.seen, .accepted]')" = '[4,4]' ]
	jq -se 'all(.workload.axes.num_pages == 300)' $W/gqa_paged/gqa_paged_decode_h32_kv8_d128_ps64.jsonl
}

@test "a prefix with fewer keys than queries is no causal prefill" {
	python3 -c "$PYGEN
def prefill(t, w, q, kv, ps, pool=300):
    n = [-(-x // ps) for x in kv]; ptr = [0]; qp = [0]
    for x in n: ptr.append(ptr[-1] + x)
    for x in q: qp.append(qp[-1] + x)
    return [{'t': t, 'f': 'BatchPrefillWithPagedKVCacheWrapper.plan', 'self': w, 'args': {'qo_indptr': ['I32', [len(qp)], qp],
        'paged_kv_indptr': ['I32', [len(ptr)], ptr], 'paged_kv_indices': ['I32', [ptr[-1]], list(range(ptr[-1]))], 'paged_kv_last_page_len':
        ['I32', [len(n)], [(x - 1) % ps + 1 if x else 0 for x in kv]], 'num_qo_heads': 32, 'num_kv_heads': 8, 'head_dim_qk': 128, 'page_size': ps}},
      {'t': t + 1, 'f': 'BatchPrefillWithPagedKVCacheWrapper.run', 'self': w, 'args': {'q': ['BF16', [qp[-1], 32, 128]],
        'paged_kv_cache': {'tuple': [['BF16', [pool, ps, 8, 128]]] * 2}}}]
print(json.dumps(prefill(1, 16, [3, 4], [3, 90], 64) + prefill(3, 16, [3, 4], [70, 3], 64) + prefill(5, 16, [66, 4], [66, 9], 64) +
    prefill(7, 16, [66, 4], [65, 9], 64) + prefill(9, 17, [2, 5], [0, 5], 1) + prefill(11, 17, [2, 5], [1, 5], 1)))" | dumps d
	wl
	[ "$(of gqa_paged_prefill_causal_h32_kv8_d128_ps64 '[.seen, .accepted]')" = '[6,2]' ]
	[ "$(of gqa_paged_prefill_causal_h32_kv8_d128_ps64 '.refused["a request has fewer keys than queries: the call is not causal"]')" = 2 ]
	[ "$(of gqa_paged_prefill_causal_h32_kv8_d128_ps1 '[.seen, .accepted]')" = '[6,1]' ]
}

@test "MLA: decode and prefill told apart, the scale of plan(), lengths to last pages" {
	python3 -c "$PYGEN
def mla(t, w, q, kv, ps):
    n = [-(-x // ps) for x in kv]; ptr = [0]; qp = [0]
    for x in n: ptr.append(ptr[-1] + x)
    for x in q: qp.append(qp[-1] + x)
    return [{'t': t, 'f': 'BatchMLAPagedAttentionWrapper.plan', 'self': w, 'args': {'qo_indptr': ['I32', [len(qp)], qp], 'kv_indptr': ['I32', [len(ptr)], ptr],
        'kv_indices': ['I32', [ptr[-1]], list(range(ptr[-1]))], 'kv_len_arr': ['I32', [len(kv)], kv], 'num_heads': 128, 'head_dim_ckv': 512,
        'head_dim_kpe': 64, 'page_size': ps, 'causal': True, 'sm_scale': 0.1147}},
      {'t': t + 1, 'f': 'BatchMLAPagedAttentionWrapper.run', 'self': w, 'args': {'q_nope': ['BF16', [qp[-1], 128, 512]], 'q_pe': ['BF16', [qp[-1], 128, 64]],
        'ckv_cache': ['BF16', [900, ps, 512]], 'kpe_cache': ['BF16', [900, ps, 64]]}}]
print(json.dumps(mla(1, 16, [1, 1], [70, 5], 64) + mla(3, 16, [4, 2], [70, 5], 64) + mla(5, 17, [1, 1, 1], [7, 5, 2], 1)))" | dumps d
	wl
	[ "$(of mla_paged_decode_h128_ckv512_kpe64_ps64 .accepted)" = 1 ]
	[ "$(of mla_paged_prefill_causal_h128_ckv512_kpe64_ps64 .accepted)" = 1 ]
	[ "$(of mla_paged_decode_h128_ckv512_kpe64_ps1 .accepted)" = 1 ]
	jq -e '.workload.inputs.sm_scale.value == 0.1147' $W/mla_paged/mla_paged_decode_h128_ckv512_kpe64_ps64.jsonl
	f=ds/$(jq -r '.workload.inputs.kv_last_page_len.path' $W/mla_paged/mla_paged_decode_h128_ckv512_kpe64_ps64.jsonl)
	python3 - "$f" <<-'PY'
	import json, struct, sys
	r = open(sys.argv[1], "rb").read()
	n, = struct.unpack("<Q", r[:8])
	a, b = json.loads(r[8:8 + n])["kv_last_page_len"]["data_offsets"]
	assert struct.unpack("<2i", r[8 + n + a:8 + n + b]) == (6, 5)
	PY
	B checkset --errors --kernels=kernels ds | { ! grep .; }
}

@test "the recorded run of a real engine: every call is accounted for, and as the server's log says" {
	need_shared
	python3 "$ONBOARD_SHARED/dumps/expand.py" "$ONBOARD_SHARED/dumps/qwen3-8b-l4_ps1.tar.zst" rec
	B dumpwl --dataset ds --json r.json --max-new-workloads 1000 rec/qwen3-8b-l4_ps1
	# all but the prefixes of six prefills that have fewer keys than queries: paged runs, merged afterwards
	jq -e '.dumps == 2515 and .unreadable == 0 and .calls - .accepted == 24' r.json
	[ "$(of gqa_paged_prefill_causal_h32_kv8_d128_ps1 '[.seen, .accepted, .refused]')" = \
		'[28,4,{"a request has fewer keys than queries: the call is not causal":24}]' ]
	B checkset --errors --kernels=kernels ds | { ! grep .; }
	zcat "$ONBOARD_SHARED/dumps/qwen3-8b-l4_ps1.log.gz" >log
	python3 - log $W/gqa_paged/$DEC.jsonl $W/gqa_ragged/gqa_ragged_prefill_causal_h32_kv8_d128.jsonl <<-'PY'
	import collections, json, re, sys
	log = open(sys.argv[1]).read()
	lines = lambda f: [json.loads(l)["workload"]["axes"] for l in open(f)]
	# tokens in the log are those of the pool, shared prefixes once; batch sizes are the batches'
	said = collections.Counter(int(a) for a in re.findall(r"Decode batch, #running-req: (\d+)", log))
	got = collections.Counter(a["batch_size"] for a in lines(sys.argv[2]))
	assert not got - said and sum((said - got).values()) <= 2, (said - got, got - said)
	new = {(int(a), int(b)) for a, b in re.findall(r"Prefill batch, #new-seq: (\d+), #new-token: (\d+)", log)}
	pre = {(a["len_indptr"] - 1, a["total_q"]) for a in lines(sys.argv[3])}
	assert pre and pre == new, sorted(pre ^ new)[:5]
	PY
}

@test "an archive gives what its folders give; one that is cut gives what came before" {
	gen '[x for b in range(1, 9) for x in (plan(10 * b, 16, [b + 3] * b), run(10 * b + 1, 16, b, pool=100000), norm(10 * b + 2, b))]'
	B dumpwl --dataset ds --to one --json a.json d
	tar -cf - d | zstd -q >d.tar.zst
	B dumpwl --dataset ds --to two --json b.json d.tar.zst
	diff -r one two && cmp <(jq 'del(.dumps, .functions)' a.json) <(jq 'del(.dumps, .functions)' b.json)
	head -c $(($(stat -c %s d.tar.zst) * 2 / 3)) d.tar.zst >cut.tar.zst
	B dumpwl --dataset ds --to three --json c.json cut.tar.zst 2>err
	grep -q 'what came before that is taken' err
	jq -e '.accepted > 0' c.json
	echo hello >no.tar
	run B dumpwl --dataset ds no.tar
	[ "$status" -eq 1 ]
	run ls -d "${TMPDIR:-/tmp}"/dumpwl.*
	[ "$status" -ne 0 ]
}

@test "an archive whose names leave it, or whose folders are links" {
	gen '[norm(1, 5)]'
	f=$(ls d)
	mkdir evil && ln -s /tmp "evil/$f" && tar -cf e.tar evil && tar -rf e.tar --transform "s,d/,../../../evil/," d
	B dumpwl --dataset ds --to o --json r.json e.tar || true
	[ ! -e ../evil ] && [ ! -e /tmp/metadata.jsonl ]
}

@test "inputs.pt: a pickle that would run something is refused and not run" {
	gen '[norm(1, 5), norm(2, 6)]'
	f=d/$(ls d | head -1); rm "$f/inputs.safetensors"
	python3 - "$f/inputs.pt" <<-'PY'
	import os, pickle, sys, zipfile
	class Evil:
	    def __reduce__(self): return os.system, ("touch ran",)
	with zipfile.ZipFile(sys.argv[1], "w") as z: z.writestr("inputs/data.pkl", pickle.dumps({"arg_0": Evil()}, 2))
	PY
	wl
	[ ! -e ran ]
	[ "$(of rmsnorm_h4096 '[.seen, .accepted]')" = '[2,1]' ]
	jq -e '.unreadable_because | keys[0] | test("pickle")' r.json
}

@test "kill -9 and a full disk: what was there stays whole" {
	gen '[x for b in range(1, 30) for x in (plan(10 * b, 16, [b + 3] * b), run(10 * b + 1, 16, b))]'
	B dumpwl --dataset ds --to want d
	for i in $(seq 12); do
		timeout -s KILL "0.0$((i % 5 + 1))" "$ONBOARD_BUILD/bin/dumpwl" --dataset ds --to got d || true
	done
	B dumpwl --dataset ds --to got d
	diff -r want got
	(ulimit -f 1; trap '' XFSZ; ! "$ONBOARD_BUILD/bin/dumpwl" --dataset ds --to full d 2>err) && [ -s err ]
	[ ! -e full/workloads/gqa_paged/$DEC.jsonl ]
}

@test "recorded on an H200: FlashInfer's own wrappers, page sizes 1 and 64, MLA, rope, sampling" {
	rm -rf ds prov && mkdir -p ds/definitions prov
	for c in llama-3.1-8b qwen3-8b deepseek-v3; do
		B needed -c manifests/snapshot/configs/$c.json --serving <(echo '{"tp":[1,8],"ep":[1],"page_sizes":[1,64]}') |
			B classify --index manifests/snapshot - | jq '.kernels |= map(.phase1_status = "new")' >k.json
		B mkdef --slug $c --dataset ds --ours prov -o /dev/null k.json
	done
	B dumpwl --dataset ds --json r.json tests/fixtures/dumps/h200.tar.xz
	jq -e '.unreadable == 2 or .unreadable == 0' r.json
	for d in gqa_paged_decode_h32_kv8_d128_ps1 gqa_paged_decode_h32_kv8_d128_ps64 gqa_paged_prefill_causal_h32_kv8_d128_ps1 \
		gqa_paged_prefill_causal_h32_kv8_d128_ps64 gqa_ragged_prefill_causal_h32_kv8_d128 mla_paged_decode_h16_ckv512_kpe64_ps1 \
		mla_paged_decode_h16_ckv512_kpe64_ps64 mla_paged_prefill_causal_h16_ckv512_kpe64_ps1 mla_paged_prefill_causal_h16_ckv512_kpe64_ps64 \
		mla_ragged_prefill_causal_h16_qk192_vo128 rmsnorm_h4096 fused_add_rmsnorm_h4096 merge_state_h32_d128 silu_and_mul_h28672 \
		append_paged_kv_cache_kv8_d128 rope_with_cos_sin_cache_gptj_style_d64_rd64 rope_with_cos_sin_cache_neox_style_d128_rd128 \
		top_k_sampling_from_probs_v128256 top_k_top_p_sampling_from_probs_v128256 min_p_sampling_from_probs_v151936; do
		[ "$(of $d .accepted)" -ge 2 ] || { echo "$d: $(of $d .)"; false; }
	done
	B checkset --errors --kernels=kernels ds | { ! grep .; }
}

@test "recorded on an H100: schedules of the simulated engine and HND, every call accounted for" {
	rm -rf ds prov && mkdir -p ds/definitions prov
	for c in qwen3-30b-a3b qwen3-8b deepseek-v3; do
		B needed -c manifests/snapshot/configs/$c.json --serving <(echo '{"tp":[1,8],"ep":[1],"page_sizes":[1,64]}') |
			B classify --index manifests/snapshot - | jq '.kernels |= map(.phase1_status = "new")' >k.json
		B mkdef --slug $c --dataset ds --ours prov -o /dev/null k.json
	done
	B dumpwl --dataset ds --json r.json tests/fixtures/dumps/hopper.tar.xz
	jq -e '.unreadable == 0 and .calls == .accepted and .calls == 47' r.json || { jq '[.dumps, .calls, .accepted, .unreadable]' r.json; false; }
	# page size 1 and 64, once each with the heads before the page
	for d in gqa_paged_decode_h32_kv8_d128_ps1 gqa_paged_decode_h32_kv8_d128_ps64; do [ "$(of $d .accepted)" -eq 4 ]; done
	B checkset --errors --kernels=kernels ds | { ! grep .; }
}

@test "recorded on an H100: gdn, mamba, pages appended, states merged, the rest of sampling" {
	rm -rf ds prov && mkdir -p ds/definitions prov
	B needed -c manifests/snapshot/configs/llama-3.1-8b.json --serving <(echo '{"tp":[1],"ep":[1],"page_sizes":[1]}') |
		B classify --index manifests/snapshot - | jq '.kernels |= map(.phase1_status = "new")' >k.json
	B mkdef --slug x --dataset ds --ours prov -o /dev/null k.json
	B dumpwl --dataset ds --json r.json tests/fixtures/dumps/more.tar.xz
	jq -e '.unreadable == 0 and .calls == .accepted and .calls == 29' r.json || { jq '[.dumps, .calls, .accepted, .unreadable]' r.json; false; }
	[ "$(of append_paged_kv_cache_kv8_d128 '[.accepted, .axes.page_size.max, .axes.nnz_kv.max]')" = '[3,16,40]' ]
	[ "$(of merge_state_h32_d128 '[.accepted, .axes.seq_len.max]')" = '[2,77]' ]
	B checkset --errors --kernels=kernels ds | { ! grep .; }
	upstream
	for f in gdn/gdn_decode gdn/gdn_mtp gdn/gdn_prefill; do
		mkdir -p "ds/definitions/${f%/*}"
		git -C "$UP/flashinfer-trace.git" show "HEAD:definitions/${f}_qk8_v16_d128_k_last.json" >"ds/definitions/${f}_qk8_v16_d128_k_last.json"
	done
	mkdir -p ds/definitions/mamba_ssu
	git -C "$UP/flashinfer-trace.git" show HEAD:definitions/mamba_ssu/mamba_ssu_decode_h64_d64_s128_ng4.json \
		>ds/definitions/mamba_ssu/mamba_ssu_decode_h64_d64_s128_ng4.json
	B dumpwl --dataset ds --json r.json tests/fixtures/dumps/more.tar.xz
	jq -e '.unreadable == 0 and .calls == .accepted and .calls == 41' r.json
	[ "$(of gdn_mtp_qk8_v16_d128_k_last '[.accepted, .axes.seq_len.max, .axes.pool_size.max]')" = '[3,4,16]' ]
	[ "$(of mamba_ssu_decode_h64_d64_s128_ng4 '[.accepted, .axes.state_cache_size.max]')" = '[3,32]' ]
	[ "$(of gdn_prefill_qk8_v16_d128_k_last '[.accepted, .axes.total_seq_len.max]')" = '[3,384]' ]
}

@test "bmm_fp8: a batch of one, the second matrix transposed" {
	mkdir -p ds/definitions/gemm_fp8
	jq '.definition | {name: "gemm_fp8_per_tensor_n64_k128", op_type: "gemm_fp8"} + . | .axes.N.value = 64 | .axes.K.value = 128 |
		.tags = ["fi_api:flashinfer.gemm.bmm_fp8"] | .reference = "def run(a, b, a_scale, b_scale): pass"' kernels/gemm_fp8/per_tensor.json \
		>ds/definitions/gemm_fp8/gemm_fp8_per_tensor_n64_k128.json
	gen '[{"t": t, "f": "bmm_fp8", "args": {"A": ["F8_E4M3", [n, m, 128]], "B": ["F8_E4M3", b], "A_scale": ["F32", [1]], "B_scale": ["F32", [1]]}}
		for t, n, m, b in ((1, 1, 5, [1, 128, 64]), (2, 1, 9, [1, 128, 64]), (3, 2, 5, [2, 128, 64]), (4, 1, 5, [1, 64, 128]), (5, 1, 5, [1, 128, 32]))]'
	wl --definition gemm_fp8_per_tensor_n64_k128
	[ "$(of gemm_fp8_per_tensor_n64_k128 '[.seen, .accepted, .axes.M.min, .axes.M.max]')" = '[5,2,5,9]' ] || { of gemm_fp8_per_tensor_n64_k128 .; false; }
	# as recorded
	B dumpwl --dataset ds --definition gemm_fp8_per_tensor_n64_k128 --json r.json --replace tests/fixtures/dumps/more.tar.xz
	[ "$(of gemm_fp8_per_tensor_n64_k128 '[.seen, .accepted, .axes.M.min, .axes.M.max]')" = '[3,3,1,64]' ]
	jq -e '.workload.inputs.a_scale.value == 0.5' ds/workloads/gemm_fp8/gemm_fp8_per_tensor_n64_k128.jsonl
}

@test "raw bytes are not carried along: a large int8 input is random" {
	mkdir -p ds/definitions/custom
	jq -n '{name: "raw_n8", op_type: "custom", tags: ["fi_api:flashinfer.raw"], axes: {rows: {type: "var"}, n: {type: "const", value: 4096}},
		inputs: {x: {shape: ["rows", "n"], dtype: "int8"}, i: {shape: ["rows"], dtype: "int32"}}, outputs: {}, reference: "def run(x, i): pass"}' \
		>ds/definitions/custom/raw_n8.json
	gen '[{"t": 1, "f": "raw", "args": {"x": ["I8", [1000, 4096]], "i": ["I32", [1000], list(range(1000))]}},
		{"t": 2, "f": "raw", "args": {"x": ["I8", [2, 4096]], "i": ["I32", [2], [0, 1]]}}]'
	B dumpwl --dataset ds --definition raw_n8 --json r.json d
	[ "$(jq '.definitions.raw_n8.accepted' r.json)" -eq 2 ] || { jq .definitions r.json; false; }
	[ "$(jq -r '[.workload.axes.rows, .workload.inputs.x.type, .workload.inputs.i.type] | join(" ")' ds/workloads/custom/raw_n8.jsonl | sort)" = \
		"$(printf '%s\n' '1000 random safetensors' '2 safetensors safetensors')" ]
}
