#!/usr/bin/env bats
# plan-sessions: the fewest server starts for all definitions.
load common

setup() {
	project
	mkdir idx && cp manifests/snapshot/*.json idx
	jq '.workloads = {}' manifests/snapshot/flashinfer_trace.json >idx/flashinfer_trace.json
}
plan() { # CONFIG SERVING: to s.json, as if SGLang called everything
	B needed -c "manifests/snapshot/configs/$1.json" --serving <(echo "$2") | B classify --index manifests/snapshot - |
		jq '.kernels |= map(.sgl_status = "sgl_integrated")' >k.json
	B plan-sessions --index idx -o s.json k.json
}

@test "one start for each TP, page size and way of prefilling, no more" {
	plan llama-3.1-8b '{"tp": [1], "ep": [1], "page_sizes": [1]}'
	jq -e '.server_starts == 2 and .one_a_definition > 40' s.json
	plan llama-3.1-8b '{"tp": [1, 2], "ep": [1], "page_sizes": [1, 64]}'
	jq -e '.server_starts == 6' s.json
	plan deepseek-v3 '{"tp": [4, 8], "ep": [1, 4, 8], "page_sizes": [1, 64]}'
	jq -e '.server_starts == 6 and all(.sessions[]; .tp % .ep == 0)' s.json
}

@test "every definition to be collected is in exactly one session that serves it" {
	plan deepseek-v3 '{"tp": [4, 8], "ep": [1, 8], "page_sizes": [1, 64]}'
	jq -e --slurpfile k k.json '
		([.sessions[].definitions[]] | sort) as $d
		| ($d == ($d | unique)) and
		  ($d == ([$k[0].kernels[] | select(.fi_api) | .definition_name] | sort)) and
		  ([.sessions[] as $s | $s.definitions[] as $n | $k[0].kernels[] | select(.definition_name == $n)
		    | ((.tp | length) == 0 or (.tp | index($s.tp) != null)) and ((.ep | length) == 0 or (.ep | index($s.ep) != null))
		      and (.axes.page_size // $s.page_size) == $s.page_size] | all)' s.json
	jq -e 'all(.sessions[] | select(.prefill == "paged"); .args | index("--enable-deterministic-inference"))' s.json
	jq -e 'any(.sessions[]; .env.FLASHINFER_DUMP_INCLUDE | test("BatchPrefillWithRaggedKVCacheWrapper.forward\\*"))' s.json
}

@test "what exists, is missing, or waits for SGLang is in no session; the plan is the same every time" {
	B needed -c manifests/snapshot/configs/qwen3-8b.json | B classify --index manifests/snapshot - >k.json
	B plan-sessions --index manifests/snapshot -o a.json k.json
	B plan-sessions --index manifests/snapshot -o b.json k.json
	cmp a.json b.json
	jq -e --slurpfile k k.json '[.sessions[].definitions[]] as $d | all(.kernels | to_entries[];
		(.value.phase3_status == "skipped (no engine)") or ([.key] - $d == [.key]))' a.json
	B plan-sessions --index manifests/snapshot --skip-workload k.json | jq -e '.server_starts == 0 and .sessions == []'
}
