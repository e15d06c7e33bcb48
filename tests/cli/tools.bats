#!/usr/bin/env bats
# The tools alone: pipes, usage, and bad input, which gets one clear sentence
# with file and key, the right exit code, and nothing half written.
load common

setup() { project; C=manifests/snapshot/configs; }
snapshot_index() {
	"${M[@]}" MODEL=llama-3.1-8b PHASES=0,1 onboard 2>/dev/null >/dev/null
}
config() { # config SLUG [args]: fetch-config with what it needs
	B fetch-config --slug="$1" --dir=run --cookbook=manifests/snapshot/sgl_cookbook.json \
		--known=manifests/hub-ids.tsv --snapshot=manifests/snapshot --retry-wait=1 "${@:2}"
}
teardown() { [ -z "${HUB:-}" ] || kill "$HUB" 2>/dev/null || true; }

@test "every tool has help, version and usage errors" {
	for t in fetch-repos index-apis fetch-config needed classify mkdef plan-sessions mkpr manifest discover; do
		run B $t --help
		[ "$status" -eq 0 ] && [[ $output == "usage: $t"*"exit codes:"* ]]
		run B $t --version
		[ "$status" -eq 0 ]
		run B $t --no-such-option
		[ "$status" -eq 2 ] && [[ $output == "$t: unknown option --no-such-option; see '$t --help'" ]]
		run B $t
		[ "$status" -eq 2 ]
	done
}

@test "options may follow operands, and -- ends them" {
	echo '{' >-o
	run B classify --index=manifests/snapshot -o /dev/null -- -o
	[ "$status" -eq 1 ] && [[ $output == "classify: -o is not valid JSON"* ]]
	mv ./-o operand
	run B classify operand --index=manifests/snapshot --output /dev/null
	[ "$status" -eq 1 ] && [[ $output == "classify: operand is not valid JSON"* ]]
	run B classify operand --no-such-option
	[ "$status" -eq 2 ] && [[ $output == "classify: unknown option --no-such-option"* ]]
	run B classify operand --output
	[ "$status" -eq 2 ] && [[ $output == "classify: --output needs a value"* ]]
}

@test "tools work in a pipe" {
	snapshot_index
	n=$(B needed -c - <$C/qwen3-8b.json | B classify --index tmp/index - | B mkdef --print --slug qwen3-8b - | wc -l)
	[ "$n" -eq 22 ]
	B needed -c - <$C/qwen3-8b.json | B classify --index tmp/index - | B plan-sessions --index tmp/index - | jq -e '.kernels | length == 22'
}

@test "a full standard output is not silent" {
	[ -w /dev/full ] || skip "no /dev/full"
	run bash -c "$ONBOARD_BUILD/bin/needed -c $C/qwen3-8b.json >/dev/full"
	[ "$status" -eq 75 ] && [[ $output == *"unable to write standard output: No space left"* ]]
}

@test "config that is no JSON, truncated, not an object, with a duplicate key" {
	echo 'not json' >a.json; head -c 200 $C/qwen3-8b.json >b.json; echo '[1]' >c.json
	echo '{"hidden_size": 1, "hidden_size": 2}' >d.json; : >e.json
	for f in a b d e; do
		run config x --config=$f.json
		[ "$status" -eq 1 ] && [[ $output == *"$f.json is not valid JSON: line "* ]]
		run B needed -c $f.json
		[ "$status" -eq 1 ] && [[ $output == *"$f.json is not valid JSON: line "* ]]
	done
	run config x --config=c.json
	[ "$status" -eq 1 ] && [[ $output == *"c.json is not a model's config"* ]]
	[ ! -e run/config.json ] && [ ! -e run/serving.json ]
}

@test "config without needed keys, or with impossible ones: file and key are named" {
	for k in hidden_size num_attention_heads vocab_size intermediate_size; do
		jq "del(.$k)" $C/llama-3.1-8b.json >c.json
		run B needed -c c.json -o out.json
		[ "$status" -eq 1 ] && [[ $output == "needed: c.json: key '$k' is missing" ]]
		for v in -1 0 1.5 '"8"' '[1]' '{}' true 1e300; do
			jq ".$k = $v" $C/llama-3.1-8b.json >c.json
			run B needed -c c.json -o out.json
			[ "$status" -eq 1 ] && [[ $output == *"c.json: key '$k' is "*"not a positive whole number"* ]]
		done
	done
	jq '.rms_norm_eps = "x"' $C/llama-3.1-8b.json >c.json
	run B needed -c c.json -o out.json
	[ "$status" -eq 1 ] && [[ $output == *"key 'rms_norm_eps'"* ]]
	jq '.hidden_size = 4097' $C/llama-3.1-8b.json >c.json
	run B needed -c c.json -o out.json
	[ "$status" -eq 1 ] && [[ $output == *"key 'head_dim' is missing"* ]]
	[ ! -e out.json ]
}

@test "a config of something else is refused" {
	echo '{"model_type": "bert-tokenizer"}' >c.json
	run B needed -c c.json
	[ "$status" -eq 1 ] && [[ $output == *"c.json: key "*"is missing"* ]]
}

@test "keys that no rule reads are named" {
	jq '.brand_new_attention = {"x": 1}' $C/llama-3.1-8b.json >c.json
	B needed -c c.json | jq -e '.not_understood == ["brand_new_attention"]'
}

@test "200 MB of JSON is refused without being taken in" {
	{ printf '{"a": "'; head -c 200000000 /dev/zero | tr '\0' x; printf '"}'; } >big.json
	run config x --config=big.json
	[ "$status" -eq 1 ] && [[ $output == *"big.json is larger than 16 MiB"* ]]
	if [ -z "$SANITIZE" ]; then # the sanitizers reserve terabytes
		run bash -c "ulimit -v 200000; $ONBOARD_BUILD/bin/needed -c big.json"
		[ "$status" -eq 1 ]
	fi
	rm big.json
}

@test "deeply nested JSON is refused" {
	{ printf '{"a":'; head -c 100000 /dev/zero | tr '\0' '['; } >deep.json
	run B needed -c deep.json
	[ "$status" -eq 1 ] && [[ $output == *"deep.json is not valid JSON"* ]]
}

@test "a slug with ../ or other tricks is refused" {
	for s in ../evil a/b .. 'a b' A 'x;y' "$(printf 'a\nb')" '$(x)'; do
		run config "$s" --config=$C/qwen3-8b.json
		[ "$status" -eq 1 ] && [[ $output == *"is no slug"* ]]
	done
	run "${M[@]}" 'MODEL=../evil' onboard
	[ "$status" -ne 0 ] && [ ! -e tmp/evil ] && [ ! -e evil ] && [ ! -e ../evil ]
}

@test "control characters of foreign bytes do not reach the terminal" {
	printf '{"hidden_size": "\\u001b[31mred"}' >c.json
	run B needed -c c.json
	[ "$status" -eq 1 ] && [[ $output != *$'\e'* ]]
}

@test "Hub: a config is fetched with the token, which appears nowhere" {
	hub 200 $C/qwen3-8b.json
	HF_TOKEN=hf_secret_token config qwen3-8b --source=auto
	cmp run/config.json $C/qwen3-8b.json
	grep -q 'Bearer hf_secret_token' "$BATS_TEST_TMPDIR/port.log"
	! grep -r hf_secret run
	jq -e '.config_from.kind == "hub"' run/serving.json
}

@test "Hub: 429 and 5xx are tried again" {
	hub 429,503,200 $C/qwen3-8b.json
	config qwen3-8b
	[ "$(wc -l <"$BATS_TEST_TMPDIR/port.log")" -eq 3 ]
}

@test "Hub: gated, private and missing models are deferred with the reason" {
	for c in 401 403 404; do
		rm -f "$BATS_TEST_TMPDIR/port"
		hub $c
		run config qwen3-8b
		[ "$status" -eq 0 ] && [[ $output == *"qwen3-8b is deferred"*"answered $c"* ]]
		jq -e '.detail' run/deferred.json
		[ ! -e run/config.json ]
		kill $HUB
	done
}

@test "a deferred model does not stop the others, and is tried again" {
	hub 401
	"${M[@]}" CONFIG_SOURCE=auto MODELS="llama-3.1-8b my-own" HF_REPO_ID=a/b onboard
	jq -e '.deferred.reason and .kernels == []' tmp/onboard_llama-3.1-8b_*.json
	/usr/bin/python3 -c 'import json, sys, jsonschema
jsonschema.validate(json.load(open(sys.argv[1])), json.load(open("tests/manifest.schema.json")))' tmp/onboard_llama-3.1-8b_*.json
	kill $HUB
	rm "$BATS_TEST_TMPDIR/port"
	hub 200 $C/llama-3.1-8b.json
	"${M[@]}" CONFIG_SOURCE=auto MODELS="llama-3.1-8b" HF_REPO_ID=a/b onboard
	jq -e '(has("deferred") | not) and (.kernels | length) == 21' tmp/onboard_llama-3.1-8b_*.json
}

@test "Hub: an endless or wrong answer is refused" {
	echo '<html>not a config</html>' >page
	hub 200 page
	run config qwen3-8b
	[ "$status" -eq 1 ] && [[ $output == *"is not valid JSON"* ]]
	kill $HUB; rm "$BATS_TEST_TMPDIR/port"
	head -c 20000000 /dev/zero >big
	hub 200 big
	run config qwen3-8b
	[ "$status" -eq 1 ] && [[ $output == *"longer than 16 MiB"* ]]
	[ ! -e run/config.json ]
}

@test "http without TLS is for loopback only" {
	HF_ENDPOINT=http://192.0.2.1 run config my-own --hf-repo-id=a/b
	[[ $output == *"deferred"* && $output != *"timed out"* ]]
}

@test "no network: the snapshot serves, loudly; without it the model is deferred" {
	run config qwen3-8b
	[ "$status" -eq 0 ] && [[ $output == *"config.json taken from the snapshot, because: http://127.0.0.1:9"* ]]
	run config my-own --hf-repo-id=a/b
	[ "$status" -eq 0 ] && [[ $output == *"my-own is deferred (network)"* ]]
	run config no-such-model
	[ "$status" -eq 1 ] && [[ $output == *"no-such-model is not known"*"HF_REPO_ID=ORG/NAME or CONFIG=FILE"* ]]
	run config qwen3-8b --hf-repo-id='../../x'
	[ "$status" -eq 1 ] && [[ $output == *"is no Hub id"* ]]
}

@test "disk full: a sentence, exit 75, nothing half written, and it goes on later" {
	mkdir small
	unshare -rm true 2>/dev/null || skip "no user namespaces here"
	run unshare -rm bash -c "mount -t tmpfs -o size=16k tmpfs small && head -c 16000 /dev/zero >small/fill 2>/dev/null
		cd small && $ONBOARD_BUILD/bin/needed -c ../$C/qwen3-8b.json -k ../kernels -o n.json; echo code \$?; ls -A"
	[[ $output == *"needed: unable to write n.json: No space left on device"*"code 75"* ]]
	[[ $output != *"n.json.tmp"* && $(tail -1 <<<"$output") == fill ]]
}

@test "read-only tmp: a sentence, exit 75" {
	snapshot_index
	unshare -rm true 2>/dev/null || skip "no user namespaces here"
	run unshare -rm bash -c "mount --bind tmp tmp && mount -o remount,ro,bind tmp && make B=${ONBOARD_BUILD##*/} SOURCE=snapshot MODEL=llama-3.1-8b onboard"
	[ "$status" -eq 2 ] && [[ $output == *"unable to write tmp/"*"Read-only file system"* ]]
	"${M[@]}" MODEL=llama-3.1-8b onboard
}

@test "hostile needed.json and kernels.json are refused" {
	snapshot_index
	for j in '{}' '{"kernels": 1}' '{"kernels": [{}]}' '{"kernels": [{"op_type": "../../etc", "definition_name": "x", "template": "passwd"}]}' \
		'{"kernels": [{"op_type": "gemm", "definition_name": "../x", "template": "gemm", "axes": {"N": 1, "K": 2}, "params": {}}]}'; do
		echo "$j" >n.json
		run B classify --index tmp/index -o k.json n.json
		if [ "$status" -eq 0 ]; then
			run B mkdef --slug x --dataset ds --ours prov -o r.json k.json
			[ "$status" -eq 1 ]
		fi
		[ "$status" -eq 1 ] && [ ! -e ds/x.json ] && [ ! -e x.json ]
	done
}

@test "a device or a pipe as output is written to, and stays what it is" {
	mkfifo f
	cat f >got &
	B needed -c manifests/snapshot/configs/qwen3-8b.json --serving <(echo '{"tp":[1],"ep":[1],"page_sizes":[1]}') -o f
	wait
	[ -p f ] && [ -s got ]
	B needed -c manifests/snapshot/configs/qwen3-8b.json --serving <(echo '{"tp":[1],"ep":[1],"page_sizes":[1]}') -o /dev/null
	[ -c /dev/null ]
}
