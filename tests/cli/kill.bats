#!/usr/bin/env bats
# Kill -9 at random moments: the next run ends with the same bytes.
load common

# killed MAX_MS COMMAND...: its own process group, gone after a random while
killed() {
	local ms=$((RANDOM % $1))
	setsid "${@:2}" >/dev/null 2>&1 &
	local pid=$!
	sleep "$(printf '0.%03d' $ms)"
	kill -9 -- "-$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}

@test "20 times in the run of two models from the snapshot" {
	RANDOM=4711
	project ref
	"${M[@]}" -j2 MODELS="qwen3-8b llama-3.1-8b" TP="1 2" onboard
	digest >"$BATS_TEST_TMPDIR/want"
	project p
	for _ in $(seq 20); do
		killed 300 "${M[@]}" -j2 MODELS="qwen3-8b llama-3.1-8b" TP="1 2" onboard
		[ $((RANDOM % 4)) -gt 0 ] || rm -rf tmp/run
	done
	"${M[@]}" -j2 MODELS="qwen3-8b llama-3.1-8b" TP="1 2" onboard
	digest | cmp - "$BATS_TEST_TMPDIR/want"
	run find tmp -name '.*.tmp'
	[ -z "$output" ]
}

@test "20 times each tool of phases 1 to 4 alone, its artefact removed before" {
	RANDOM=42
	project
	"${M[@]}" MODEL=qwen3-8b onboard
	digest >"$BATS_TEST_TMPDIR/want"
	for f in serving needed kernels definitions sessions outbox; do
		for _ in 1 2 3 4; do
			rm -f tmp/run/qwen3-8b/$f.json
			killed 30 "${M[@]}" MODEL=qwen3-8b onboard
		done
	done
	"${M[@]}" MODEL=qwen3-8b onboard
	digest | cmp - "$BATS_TEST_TMPDIR/want"
}

@test "12 times in phase 0 with git sources, children orphaned" {
	RANDOM=7
	upstream
	project ref
	"${M[@]}" SOURCE=git UPSTREAM="$UP" MODEL=qwen3-8b onboard
	digest >"$BATS_TEST_TMPDIR/want"
	project p
	for i in $(seq 12); do
		if [ $((i % 2)) -eq 0 ]; then
			killed 999 "${M[@]}" SOURCE=git UPSTREAM="$UP" MODEL=qwen3-8b onboard
		else
			# fetch-repos alone: its gits live on for a moment
			"${M[@]}" SOURCE=git UPSTREAM="$UP" MODEL=qwen3-8b onboard >/dev/null 2>&1 &
			sleep "$(printf '0.%03d' $((RANDOM % 800)))"
			pkill -9 -f "fetch-repos.*--root=tmp.*$UP" || true
			wait
		fi
		[ $((RANDOM % 3)) -gt 0 ] || rm -f tmp/repos.json
	done
	"${M[@]}" SOURCE=git UPSTREAM="$UP" MODEL=qwen3-8b onboard
	digest | cmp - "$BATS_TEST_TMPDIR/want"
}
