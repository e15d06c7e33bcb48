#!/usr/bin/env bats
# LAUNCHER on a real Slurm: two nodes in one machine, on loopback.
load common

setup_file() {
	command -v slurmctld >/dev/null || return 0
	S=$BATS_FILE_TMPDIR/slurm
	mkdir -p "$S"
	cat >"$S/slurm.conf" <<-C
	ClusterName=rehearsal
	SlurmctldHost=localhost(127.0.0.1)
	SlurmctldPort=$((20000 + RANDOM % 5000))
	AuthType=auth/munge
	AuthInfo=socket=$S/munge.socket
	SlurmUser=root
	SlurmdUser=root
	StateSaveLocation=$S/state
	SlurmdSpoolDir=$S/spool.%n
	SlurmctldPidFile=$S/ctld.pid
	SlurmdPidFile=$S/d.%n.pid
	SlurmctldLogFile=$S/ctld.log
	SlurmdLogFile=$S/d.%n.log
	ProctrackType=proctrack/linuxproc
	TaskPlugin=task/none
	SlurmdParameters=config_overrides
	SelectType=select/cons_tres
	SelectTypeParameters=CR_Core
	GresTypes=gpu
	ReturnToService=2
	MpiDefault=none
	JobAcctGatherType=jobacct_gather/none
	NodeName=n1 NodeAddr=127.0.0.1 NodeHostname=localhost Port=$((25000 + RANDOM % 2000)) CPUs=2 Gres=gpu:1 State=UNKNOWN
	NodeName=n2 NodeAddr=127.0.0.1 NodeHostname=localhost Port=$((28000 + RANDOM % 2000)) CPUs=2 Gres=gpu:1 State=UNKNOWN
	PartitionName=all Nodes=n1,n2 Default=YES MaxTime=10 State=UP
	C
	echo "Name=gpu File=/dev/null" >"$S/gres.conf"
	export SLURM_CONF=$S/slurm.conf
	mkdir -p "$S/state" "$S/munge"
	dd if=/dev/urandom bs=1 count=1024 of="$S/munge/key" 2>/dev/null
	chmod 700 "$S/munge"; chmod 600 "$S/munge/key"
	munged --force --socket="$S/munge.socket" --key-file="$S/munge/key" --pid-file="$S/munge/pid" --log-file="$S/munge/log" \
		--seed-file="$S/munge/seed" 3>&- || true
	slurmctld 3>&- && slurmd -N n1 3>&- && slurmd -N n2 3>&- || true
	for _ in $(seq 100); do [ "$(sinfo -h -o %T 2>/dev/null | sort -u)" = idle ] && break; sleep 0.2; done
	touch "$S/started"
}
teardown_file() {
	for f in "$BATS_FILE_TMPDIR"/slurm/*.pid "$BATS_FILE_TMPDIR"/slurm/munge/pid; do
		[ -e "$f" ] || continue
		p=$(cat "$f")
		kill "$p" || true
		for _ in $(seq 50); do kill -0 "$p" 2>/dev/null || break; sleep 0.1; done
	done
}
setup() {
	command -v slurmctld >/dev/null || skip "no Slurm here (scripts/setup --tests installs it)"
	project
	jq '.workloads = {} | .definitions = {}' manifests/snapshot/flashinfer_trace.json >t && mv t manifests/snapshot/flashinfer_trace.json
	mkdir locks
	M+=("MODELS=qwen3-8b llama-3.1-8b" TP=1 PAGE_SIZES=1 MODEL_PATH=m "SERVER=python3 tests/cli/engine.py")
	FLAGS="--gpus=0,1 --locks=locks --enough=8 --batches=4 --inputs=64 --output=4"
}
works() { (cd "$1" && find tmp/flashinfer-trace/workloads tmp/flashinfer-trace/blob -type f -print0 | sort -z | xargs -0 sha256sum); }

@test "two nodes answer" {
	sinfo -N -h -o "%N %T" | tee out
	[ "$(grep -c idle out)" -eq 2 ] || { tail -n 5 "$BATS_FILE_TMPDIR"/slurm/*.log; false; }
}

@test "srun: sessions of two models on two nodes, the same workload files as without" {
	printf '#!/bin/sh\necho "$SLURMD_NODENAME" >>nodes\nexec "$@"\n' >tests/where && chmod +x tests/where
	cp -rp . ../q
	timeout 120 "${M[@]}" -s -j2 workloads "COLLECT_FLAGS=$FLAGS" 2>err || { cat err; false; }
	works . >one
	(cd ../q && timeout 120 "${M[@]}" -s -j2 workloads "COLLECT_FLAGS=$FLAGS" "LAUNCHER=srun --gres=gpu:{tp} -n1 tests/where" 2>err) ||
		{ cat ../q/err; false; }
	works ../q | diff one -
	[ -s one ]
	sort -u ../q/nodes | tee nodes
	[ "$(wc -l <nodes)" -eq 2 ]
}

@test "sbatch --wait, and a session that fails gives its exit code" {
	timeout 120 "${M[@]}" -s workloads "COLLECT_FLAGS=$FLAGS" "LAUNCHER=scripts/slurm-batch --gres=gpu:{tp} --" 2>err || { cat err; false; }
	[ "$(find tmp/run/*/sessions -name 'done.*' | wc -l)" -ge 2 ]
	[ -z "$(find . -maxdepth 1 -name '.slurm-batch.*')" ]
	run scripts/slurm-batch --gres=gpu:1 -- sh -c 'echo "here: $1"; exit 7' sh "a b"
	[ "$status" -eq 7 ] && [[ $output == *"here: a b"* ]]
	run scripts/slurm-batch --gres=gpu:1
	[ "$status" -eq 2 ]
}

@test "a job that is cancelled leaves no engine behind, and the next run completes it" {
	timeout 120 "${M[@]}" -s workloads MODELS=qwen3-8b "COLLECT_FLAGS=$FLAGS --enough=100000 --load-time=100" \
		"LAUNCHER=srun --gres=gpu:{tp} -n1" >out 2>&1 3>&- &
	for _ in $(seq 200); do [ -n "$(squeue -h -t R -o %i)" ] && pgrep -f tests/cli/engine.py >/dev/null && break; sleep 0.1; done
	scancel -u root
	wait || true
	for _ in $(seq 100); do pgrep -f tests/cli/engine.py >/dev/null || break; sleep 0.1; done
	! pgrep -f tests/cli/engine.py
	timeout 120 "${M[@]}" -s workloads MODELS=qwen3-8b "COLLECT_FLAGS=$FLAGS" "LAUNCHER=srun --gres=gpu:{tp} -n1" 2>err || { cat err; false; }
	[ -n "$(find tmp/run/qwen3-8b/sessions -name 'done.*')" ]
}
