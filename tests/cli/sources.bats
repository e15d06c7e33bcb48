#!/usr/bin/env bats
# Phase 0: git in all its forms, PyPI, updates, what may go wrong.
load common

setup() {
	project
	F=(B fetch-repos --wish=manifests/repos.json --snapshot=manifests/snapshot --root=tmp -o tmp/repos.json)
}
G() { git -c user.name=t -c user.email=t@localhost "$@"; }
mini() { # a small upstream of the dataset
	git init -q -b main "$1"
	mkdir -p "$1/definitions/gemm" "$1/workloads/gemm"
	echo '{"name": "gemm_n1_k1"}' >"$1/definitions/gemm/gemm_n1_k1.json"
	printf '{}\n{}\n\n' >"$1/workloads/gemm/gemm_n1_k1.jsonl"
	(cd "$1" && G add . && G commit -qm one)
}

@test "real trees: the same kernels.json as from the snapshot" {
	upstream
	"${M[@]}" MODELS="llama-3.1-8b qwen3-8b" onboard
	for m in llama-3.1-8b qwen3-8b; do cp tmp/run/$m/kernels.json $m.snapshot; done
	rm -rf tmp
	"${M[@]}" SOURCE=git CONFIG_SOURCE=snapshot UPSTREAM="file://$UP" MODELS="llama-3.1-8b qwen3-8b" onboard
	for m in llama-3.1-8b qwen3-8b; do cmp tmp/run/$m/kernels.json $m.snapshot; done
	[ "$(jq -r '.[].kind' tmp/repos.json | sort -u)" = git ]
	# shallow, partial, sparse, no submodules
	[ "$(git -C tmp/sglang rev-list --count HEAD)" -eq 1 ]
	[ "$(git -C tmp/flashinfer config remote.origin.partialclonefilter)" = blob:none ]
	[ ! -e tmp/flashinfer/csrc ] && [ -e tmp/flashinfer/flashinfer/norm/__init__.py ]
	# the rest of the tree was never fetched
	[ "$(git -C tmp/flashinfer count-objects -v | awk '/size-pack/ {print $2}')" -lt \
		"$(git -C "$UP/flashinfer.git" count-objects -v | awk '/size-pack/ {print $2}')" ]
}

@test "all 14 published names of llama-3.1-8b are needed and existing" {
	upstream
	"${M[@]}" SOURCE=git UPSTREAM="$UP" MODEL=llama-3.1-8b onboard
	git -C "$UP/flashinfer-trace.git" archive HEAD definitions | tar -x -C "$BATS_TEST_TMPDIR"
	jq -r 'select(.tags | index("model:llama-3.1-8b")) | .name' "$BATS_TEST_TMPDIR"/definitions/*/*.json | sort >want
	[ "$(wc -l <want)" -eq 14 ]
	jq -r '.kernels[] | select(.phase1_status == "existing") | .definition_name' tmp/onboard_llama*.json | sort | cmp - want
}

@test "bundle, path and URL bring the same commit" {
	mini up
	git -C up bundle create -q ../b.bundle HEAD main
	for u in "$PWD/up" "file://$PWD/up" "$PWD/b.bundle" up; do
		rm -rf tmp
		"${F[@]}" --source=git --url "flashinfer_trace=$u" flashinfer_trace
		[ "$(jq -r .flashinfer_trace.id tmp/repos.json)" = "$(git -C up rev-parse HEAD)" ]
		[ -e tmp/flashinfer-trace/definitions/gemm/gemm_n1_k1.json ]
	done
}

@test "update in place follows upstream, --ref takes branch, tag and commit" {
	mini up
	one=$(git -C up rev-parse HEAD)
	"${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" flashinfer_trace
	echo x >up/definitions/x; (cd up && G add . && G commit -qm two && G tag v2 && G checkout -qb side && echo y >definitions/y && G add . && G commit -qm three && G checkout -q main)
	"${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" flashinfer_trace
	[ -e tmp/flashinfer-trace/definitions/x ]
	for r in main v2 side "$one"; do
		"${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" --ref "flashinfer_trace=$r" flashinfer_trace
		[ "$(jq -r .flashinfer_trace.id tmp/repos.json)" = "$(git -C up rev-parse "$r^{commit}")" ]
	done
	run "${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" --ref "flashinfer_trace=nope" flashinfer_trace
	[ "$status" -eq 1 ] && [[ $output == *"couldn't find remote ref nope"* ]]
	run "${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" --ref "flashinfer_trace=--upload-pack=x" flashinfer_trace
	[ "$status" -eq 1 ] && [[ $output == *"is no ref"* ]]
}

@test "a failed update keeps the old clone and repos.json" {
	mini up
	"${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" flashinfer_trace
	digest >one
	mv up gone
	run "${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" flashinfer_trace
	[ "$status" -ne 0 ] && [[ $output == *"flashinfer_trace"* ]]
	digest | cmp - one
	git -C tmp/flashinfer-trace log -1 >/dev/null
}

@test "locks of a git that was killed are removed, those of one that lives are not" {
	mini up
	"${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" flashinfer_trace
	mkdir bin
	cat >bin/git <<-'SH'
	#!/bin/bash
	[[ " $* " == *" fetch "* ]] || exec "$GIT" "$@"
	touch tmp/flashinfer-trace/.git/{shallow,index,config,refs/heads/main,info/sparse-checkout}.lock
	exec sleep 60
	SH
	chmod +x bin/git
	GIT=$(command -v git) PATH=$PWD/bin:$PATH setsid "$ONBOARD_BUILD/bin/fetch-repos" "${F[@]:2}" --source=git --url "flashinfer_trace=$PWD/up" flashinfer_trace &
	pid=$!
	for _ in $(seq 100); do [ ! -e tmp/flashinfer-trace/.git/info/sparse-checkout.lock ] || break; sleep 0.05; done
	kill -9 -- "-$pid"
	wait "$pid" || true
	[ -e tmp/flashinfer-trace/.git/shallow.lock ]
	# also where the next run is about another repository
	run "${F[@]}" --source=git --url "sglang=$PWD/none" sglang
	[ "$status" -ne 0 ]
	[ -z "$(find tmp -name '*.lock' ! -name .fetch-repos.lock)" ]
	"${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" flashinfer_trace
	touch tmp/flashinfer-trace/.git/shallow.lock
	for _ in 1 2; do
		run "${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" flashinfer_trace
		[ "$status" -ne 0 ] && [[ $output == *"shallow.lock"* ]] && [ -e tmp/flashinfer-trace/.git/shallow.lock ]
	done
}

@test "a dirty clone is refused by name, local edits are kept" {
	mini up
	"${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" flashinfer_trace
	echo mine >tmp/flashinfer-trace/definitions/gemm/gemm_n1_k1.json
	echo x >up/definitions/x; (cd up && G add . && G commit -qm two)
	run "${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" flashinfer_trace
	[ "$status" -eq 1 ] && [[ $output == *"tmp/flashinfer-trace has local edits"*"gemm_n1_k1.json"* ]]
	[ "$(cat tmp/flashinfer-trace/definitions/gemm/gemm_n1_k1.json)" = mine ]
	run "${F[@]}" --source=auto --url "flashinfer_trace=$PWD/up" flashinfer_trace
	[ "$status" -eq 1 ]
}

@test "a repository or a clone with no commits" {
	git init -q empty
	run "${F[@]}" --source=git --url "flashinfer_trace=$PWD/empty" flashinfer_trace
	[ "$status" -eq 1 ] && [[ $output == *"unable to bring flashinfer_trace"*"remote ref HEAD"* ]]
	[ ! -e tmp/flashinfer-trace ]
	mini up
	mkdir -p tmp && git init -q tmp/flashinfer-trace
	"${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" flashinfer_trace
	[ "$(git -C tmp/flashinfer-trace rev-parse HEAD)" = "$(git -C up rev-parse HEAD)" ]
}

@test "our unpublished definitions stay through an update; a published one gives way" {
	mini up
	M=(make "B=${ONBOARD_BUILD##*/}")
	"${M[@]}" SOURCE=snapshot MODEL=qwen3-8b onboard
	d=tmp/flashinfer-trace/definitions/gemm
	[ -e $d/gemm_n24576_k4096.json ] && [ ! -e tmp/flashinfer-trace/.git ]
	# the folder becomes a clone, upstream has published one of ours by now
	cp $d/gemm_n24576_k4096.json up/definitions/gemm/ && sed -i 's/Matrix/Published matrix/' up/definitions/gemm/gemm_n24576_k4096.json
	(cd up && G add . && G commit -qm two)
	"${F[@]}" --source=git --ours=tmp/definitions --url "flashinfer_trace=$PWD/up" flashinfer_trace
	grep -q 'Published matrix' $d/gemm_n24576_k4096.json
	[ -e $d/gemm_n4096_k12288.json ] && [ -e $d/gemm_n1_k1.json ]
	# a file that somebody made is refused by name
	echo mine >$d/new.json
	echo theirs >up/definitions/gemm/new.json; (cd up && G add . && G commit -qm three)
	run "${F[@]}" --source=git --ours=tmp/definitions --url "flashinfer_trace=$PWD/up" flashinfer_trace
	[ "$status" -eq 1 ] && [[ $output == *"$d/new.json is not of this clone"* ]]
	[ "$(cat $d/new.json)" = mine ]
}

@test "the dataset's index is that of the commit, not of the work tree" {
	mini up
	"${F[@]}" --source=git --url "flashinfer_trace=$PWD/up" flashinfer_trace
	touch tmp/flashinfer-trace/definitions/gemm/ours.json
	B index-apis --repos=tmp/repos.json --wish=manifests/repos.json --root=tmp -o i.json flashinfer_trace
	jq -e '(.definitions | keys) == ["gemm_n1_k1"] and .workloads.gemm_n1_k1.entries == 2' i.json
}

@test "PyPI: a wheel is unpacked where the clone would be, no path leaves it" {
	mkdir -p w/sglang/srt/models idx
	echo 'EntryClass = X' >w/sglang/srt/models/x.py
	echo evil >evil.py
	(cd w && python3 - <<-'PY'
	import zipfile
	with zipfile.ZipFile("../idx/sglang-9.9.9-py3-none-any.whl", "w") as z:
	    z.write("sglang/srt/models/x.py")
	    z.writestr("sglang/srt/../../../../escaped.py", "x")
	    z.writestr("sglang-9.9.9.dist-info/METADATA", "Metadata-Version: 2.1\nName: sglang\nVersion: 9.9.9\n")
	    z.writestr("sglang-9.9.9.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
	    z.writestr("sglang-9.9.9.dist-info/RECORD", "")
	PY
	)
	export PIP_NO_INDEX=1 PIP_FIND_LINKS=$PWD/idx PIP_CONFIG_FILE=/dev/null
	run "${F[@]}" --source=pypi --ref sglang=9.9.9 sglang
	find . -name 'escaped.py' | grep . && false
	if [ "$status" -ne 0 ]; then # bsdtar refuses the whole archive: make a clean one
		python3 -c 'import zipfile
z = zipfile.ZipFile("idx/sglang-9.9.9-py3-none-any.whl"); o = zipfile.ZipFile("idx/x", "w")
[o.writestr(n, z.read(n)) for n in z.namelist() if ".." not in n]; o.close()' && mv idx/x idx/sglang-9.9.9-py3-none-any.whl
		"${F[@]}" --source=pypi --ref sglang=9.9.9 sglang
	fi
	[ -e tmp/sglang/python/sglang/srt/models/x.py ]
	[ "$(jq -r .sglang.id tmp/repos.json)" = "9.9.9+sha256:$(sha256sum idx/*.whl | cut -c1-64)" ]
	B index-apis --repos=tmp/repos.json --wish=manifests/repos.json --root=tmp -o i.json sglang
	jq -e '.models.X.file == "python/sglang/srt/models/x.py"' i.json
	run "${F[@]}" --source=pypi --ref sglang=1.2.3 sglang
	[ "$status" -eq 75 ] && [ -e tmp/sglang/python/sglang/srt/models/x.py ]
}

# bats test_tags=discover
@test "discover: exactly the models added in the window, tracked ones left out" {
	upstream
	for since in 2026-06-20 2026-06-01; do
		"${M[@]}" SOURCE=git UPSTREAM="$UP" SINCE=$since discover
		jq -r '.candidates[] | select(.source == "sglang") | .file' tmp/discovered.json | sort >got
		# by hand: files added by the releases since, that assign EntryClass
		for c in $(git -C "$UP/sglang.git" log --since=$since --format=%H); do
			git -C "$UP/sglang.git" diff-tree --no-commit-id -r --diff-filter=A --name-only "$c" -- python/sglang/srt/models
		done | while read -r f; do
			git -C "$UP/sglang.git" show "HEAD:$f" 2>/dev/null | grep -q '^EntryClass' && echo "$f"
		done | sort -u >want
		[ -s want ]
		jq -r '.tracked[] | select(.source == "sglang") | .file' tmp/discovered.json | sort >tracked
		sort -u got tracked | cmp - want
	done
	"${M[@]}" SOURCE=git UPSTREAM="$UP" SINCE=2026-07-11 discover
	jq -e '.candidates == [] and (.notes | any(test("sglang: no file added since")))' tmp/discovered.json
}

@test "discover: what trends on the Hub, when it answers; what SGLang does not serve is said" {
	upstream
	cat >list.json <<'EOF'
[{"id": "Org/Fresh-9B", "createdAt": "2026-07-01T00:00:00.000Z", "config": {"architectures": ["LlamaForCausalLM"]}},
 {"id": "Qwen/Qwen3-8B", "config": {"architectures": ["Qwen3ForCausalLM"]}},
 {"id": "Org/Odd", "config": {"architectures": ["OddForCausalLM"]}}, {"id": "Org/None"}, {"id": "../../x"}, 7]
EOF
	hub 200 list.json
	"${M[@]}" SOURCE=git UPSTREAM="$UP" SINCE=2026-07-11 discover
	jq -e '[.candidates[] | select(.source == "hub") | .slug] == ["fresh-9b"]' tmp/discovered.json
	jq -e '[.tracked[].slug] == ["qwen3-8b"]' tmp/discovered.json
	jq -e '.notes | any(test("Org/Odd trends; SGLang serves no OddForCausalLM"))' tmp/discovered.json
	kill "$HUB"
}
