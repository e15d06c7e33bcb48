# One rule per arrow of the flow: file -> program -> file.

MAKEFLAGS += -rRs --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDEXPANSION:
.PHONY: FORCE checkset coverage all help onboard discover repos status outbox snapshot check \
	check-quick check-peers check-asan bench clean distclean plan
FORCE:

say = @$(if $(V),,printf '  %-9s %s\n' '$1' '$(if $2,$2,$@)' >&2;)$(if $(V),set -x;)
empty :=
space := $(empty) $(empty)
# a sub-make's line runs under -n, too, unless it has no + then
short := $(filter-out --%,$(firstword -$(MAKEFLAGS)))
plus  := $(if $(findstring n,$(short))$(findstring q,$(short)),,+)
pack   = x$(subst $(space),_,$(strip $1))
same   = $(filter $(call pack,$1),$(call pack,$2))
# A file whose text is the value of variables; its rule runs when they differ.
vars   = $(if $(call same,$(file <$1),$2),,FORCE)
# a file whose text is $1; what hinders it is told in a sentence
put    = @mkdir -p $(@D); why=$$({ printf '%s\n' '$1' >$@; } 2>&1) || { echo "onboard: unable to write $@: $${why\#\#*: }" >&2; exit 75; }
# where a script's output waits until it is whole: kill -9 leaves no half target
half   = $(@D)/.$(@F).tmp
phase  = $(filter $1,$(subst $(comma),$(space),$(PHASES)))

all: $(tools:%=$B/bin/%)

help:
	@sed -n 's/^## \{0,1\}//p' GNUmakefile
	@echo
	@echo 'Goals:'
	@sed -n 's/^#: //p' rules.mk

# ---- building ----

lib_o  := $(patsubst %.c,$B/obj/%.o,$(sort $(wildcard tools/lib/*.c)))
flags   = $(CC) $(CFLAGS) $(CPPFLAGS)

$B/flags: $(call vars,$B/flags,$(flags))
	@mkdir -p $(@D); printf '%s\n' '$(flags)' >$@
# Static pattern rules everywhere: a file that only an implicit rule names is
# intermediate, and make would not mind its absence.
objects := $(patsubst %.c,$B/obj/%.o,$(sort $(wildcard tools/*.c tools/lib/*.c tests/*.c tests/unit/*.c tests/fuzz/*.c tests/hub/*.c)))
$(objects): $B/obj/%.o: %.c $B/flags
	$(call say,CC) mkdir -p $(@D); $(flags) -MMD -MP -c -o $@ $<
$B/lib.a: $(lib_o)
	$(call say,AR) rm -f $@; ar rcD $@ $^
$(tools:%=$B/bin/%): $B/bin/%: $B/obj/tools/%.o $B/lib.a
	$(call say,LINK) mkdir -p $(@D); $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$B/bin/pydump: $B/obj/tests/pydump.o $B/lib.a
	$(call say,LINK) mkdir -p $(@D); $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

-include $(wildcard $B/obj/*/*.d $B/obj/*/*/*.d)

# ---- phase 0: the upstream trees and their indexes ----

repo_dir = $(subst _,-,$1)
repo_url = $(or $($(call upper,$1)_URL),$(if $(UPSTREAM),$(UPSTREAM)/$(call repo_dir,$1).git))
upper    = $(word 2,$(subst :, ,$(filter $1:%,sglang:SGLANG flashinfer:FLASHINFER sgl_cookbook:SGL_COOKBOOK \
	flashinfer_trace:FLASHINFER_TRACE flashinfer_bench:FLASHINFER_BENCH)))
url_args := $(foreach r,$(repos),$(if $(call repo_url,$r),--url '$r=$(call repo_url,$r)')$(if $($(call upper,$r)_REF), --ref '$r=$($(call upper,$r)_REF)'))
source_vars := $(SOURCE) $(url_args)

$T/sources.vars: $(call vars,$T/sources.vars,$(source_vars))
	@mkdir -p $(@D); printf '%s\n' "$(source_vars)" >$@
fetch_repos = $B/bin/fetch-repos --wish=manifests/repos.json --snapshot=$(SNAPSHOT) \
	--root=$T --ours=$T/definitions --source='$(SOURCE)' $(url_args) -o $T/repos.json
$T/repos.json: manifests/repos.json $T/sources.vars $B/bin/fetch-repos $(wildcard $(SNAPSHOT)/repos.json)
	$(call say,FETCH) $(fetch_repos)

#:   repos        phase 0 again: bring the upstream trees up to date
repos: $B/bin/fetch-repos $T/sources.vars
	$(call say,FETCH,$T/repos.json) $(fetch_repos)

indexes := $(repos:%=$T/index/%.json)
$(indexes): $T/index/%.json: $T/repos.json $B/bin/index-apis
	$(call say,INDEX) $B/bin/index-apis --repos=$T/repos.json --wish=manifests/repos.json \
		--root=$T --snapshot=$(SNAPSHOT) -o $@ $*

# ---- one model: phases 1 to 4 ----

# a slug becomes a folder's name: refuse anything else before it is one
slug_left := $(MODELS)
$(foreach c,a b c d e f g h i j k l m n o p q r s t u v w x y z 0 1 2 3 4 5 6 7 8 9 . -,\
	$(eval slug_left := $(subst $c,,$(slug_left))))
ifneq ($(strip $(slug_left) $(filter .% -%,$(MODELS))),)
$(error onboard: '$(MODELS)': a slug has lower case letters, digits, '.' and '-' only, like llama-3.1-8b)
endif

run   := $T/run
today := $(shell date +%F)
# the date of a run is fixed when it begins; the latest manifest is taken up
latest   = $(patsubst $T/onboard_$1_%.json,%,$(lastword $(sort $(wildcard $T/onboard_$1_????-??-??.json))))
run_date = $(if $(NEW_RUN),$(today),$(or $(strip $(file <$(run)/$1/date)),$(call latest,$1),$(today)))
manifest = $T/onboard_$1_$(call run_date,$1).json
failed   = --failed=$(run)/$*/failed

each = $(foreach m,$(MODELS),$(run)/$m/$1)
# FORCE when a file that the list names is gone: products whose names only
# the tool knows are made again like any other
gone = $(if $(strip $(foreach f,$(file <$1),$(if $(wildcard $f),,$f))),FORCE)
$(foreach m,$(MODELS),$(eval $(run)/$m/definitions.json: $(call gone,$(run)/$m/definitions.list)))
$(foreach m,$(MODELS),$(eval $(run)/$m/outbox.json: $(call gone,$(run)/$m/outbox.list)))

$(call each,date): $(run)/%/date:
	@mkdir -p $(@D); printf '%s\n' '$(call run_date,$*)' >$@.tmp; mv $@.tmp $@
$(foreach m,$(if $(NEW_RUN),$(MODELS)),$(if $(filter-out $(today),$(file <$(run)/$m/date)),$(eval $(run)/$m/date: FORCE)))

config_vars  := $(CONFIG)|$(HF_REPO_ID)|$(TP)|$(EP)|$(PAGE_SIZES)|$(CONFIG_SOURCE)
session_vars := $(if $(SKIP_WORKLOAD),skip)
$(foreach m,$(MODELS),$(eval $(run)/$m/config.vars: $(call vars,$(run)/$m/config.vars,$(config_vars))))
$(foreach m,$(MODELS),$(eval $(run)/$m/sessions.vars: $(call vars,$(run)/$m/sessions.vars,$(session_vars))))
$(call each,config.vars): $(run)/%/config.vars:
	$(call put,$(config_vars))
$(call each,sessions.vars): $(run)/%/sessions.vars:
	$(call put,$(session_vars))
# a deferred model is tried again by every run
$(foreach m,$(MODELS),$(if $(wildcard $(run)/$m/deferred.json),$(eval $(run)/$m/serving.json: FORCE)))

$(call each,serving.json): $(run)/%/serving.json: $(run)/%/config.vars $(run)/%/date $T/index/sgl_cookbook.json $B/bin/fetch-config $(CONFIG) $$(wildcard manifests/models/$$*.json $(run)/$$*/lower.tp)
	$(call say,CONFIG) $B/bin/fetch-config $(failed) --slug='$*' --dir=$(run)/$* \
		--cookbook=$T/index/sgl_cookbook.json --wish=manifests/models/$*.json \
		--known=manifests/hub-ids.tsv --snapshot=$(SNAPSHOT) --source='$(CONFIG_SOURCE)' \
		$(if $(DEFER_UNKNOWN),--defer-unknown) --config='$(CONFIG)' --hf-repo-id='$(HF_REPO_ID)' \
		--tp='$(TP)' --lower-tp='$(file <$(run)/$*/lower.tp)' --ep='$(EP)' --page-sizes='$(PAGE_SIZES)'

kernel_files := $(sort $(wildcard kernels/*.jq kernels/*.json kernels/*/*))
$(call each,needed.json): $(run)/%/needed.json: $(run)/%/serving.json $(kernel_files) $B/bin/needed
	$(call say,SHAPES) $B/bin/needed $(failed) --kernels=kernels --dir=$(run)/$* -o $@

$(call each,kernels.json): $(run)/%/kernels.json: $(run)/%/needed.json $(filter-out %_bench.json %_cookbook.json,$(indexes)) $B/bin/classify
	$(call say,CLASSIFY) $B/bin/classify $(failed) --kernels=kernels --index=$T/index -o $@ $<

# Issues and pull requests are laid into the outbox by one rule and sent by
# another, which runs again when credentials, SUBMIT_PRS or a server change,
# and while something could not be sent.
MKPR = $B/bin/mkpr $(failed) --run=$(run)/$* --repos=$T/repos.json --index=$T/index --kernels=kernels --root=$T --outbox=$T/outbox/$*
gh_keeps := $(or $(GH_CONFIG_DIR),$(if $(XDG_CONFIG_HOME),$(XDG_CONFIG_HOME)/gh),$(HOME)/.config/gh)/hosts.yml
hf_keeps := $(or $(HF_TOKEN_PATH),$(if $(HF_HOME),$(HF_HOME)/token),$(HOME)/.cache/huggingface/token)
submits  := $(filter-out 0 false no,$(SUBMIT_PRS))
submit_vars := $(if $(submits),yes,no)|$(if $(GH_TOKEN)$(GITHUB_TOKEN)$(wildcard $(gh_keeps)),gh)|$(if $(HF_TOKEN)$(wildcard $(hf_keeps)),hf)|$(GITHUB_API_URL)|$(HF_ENDPOINT)
no_submit := $(if $(submits),,--no-submit)
$(foreach m,$(MODELS),$(eval $(run)/$m/submit.vars: $(call vars,$(run)/$m/submit.vars,$(submit_vars))))
$(call each,submit.vars): $(run)/%/submit.vars:
	$(call put,$(submit_vars))
open = $(if $(wildcard $(run)/$1/$2.open),FORCE)
$(foreach m,$(MODELS),$(foreach s,issues sglang,$(eval $(run)/$m/$s.sent: $(call open,$m,$s))))

$(call each,issues.json): $(run)/%/issues.json: $(run)/%/kernels.json $(kernel_files) $T/index/sglang.json $B/bin/mkpr
	$(call say,ISSUES) $(MKPR) --stage=issues --list=$(run)/$*/issues.list -o $@
$(call each,issues.sent): $(run)/%/issues.sent: $(run)/%/issues.json $(run)/%/submit.vars
	$(call say,SEND) $(MKPR) --send=$< $(no_submit) --no-fail --open=$(run)/$*/issues.open -o $@ >&2

# the short pass of an engine that has FlashInfer write its own Definitions
# (FLASHINFER_TRACE_DUMP=1); without a real engine there is none
$(call each,traced): $(run)/%/traced: $(run)/%/kernels.json $(run)/%/engine.vars $T/index/flashinfer_trace.json scripts/trace-pass $B/bin/collect $B/bin/plan-sessions $B/bin/mkdef
	$(plus)$(if $(filter sglang,$(engine)),$(call say,TRACE) $B/bin/plan-sessions $(failed) --kernels=kernels --index=$T/index --make=$(run)/$*/trace.mk -o $(run)/$*/trace.json $(run)/$*/kernels.json; \
		scripts/trace-pass $(run)/$* '$(mkdef)' S=trace LAUNCHER='$(LAUNCHER)' COLLECT="$(collect_sglang) --trace";,@)touch $@

mkdef = $B/bin/mkdef --kernels=kernels --ours=$T/definitions --dataset=$T/flashinfer-trace
$(call each,definitions.json): $(run)/%/definitions.json: $(run)/%/kernels.json $(run)/%/traced $(run)/%/issues.sent $(kernel_files) $B/bin/mkdef $$(wildcard $(run)/$$*/url/*.issue)
	$(call say,MKDEF) $(mkdef) $(failed) --list=$(run)/$*/definitions.list -o $@ $<

# the draft patches of phase 3; asked again until they are merged
$(call each,sglang.json): $(run)/%/sglang.json: $(run)/%/definitions.json $T/index/flashinfer_trace.json $(kernel_files) $B/bin/mkpr
	$(call say,SGLANG) $(MKPR) --stage=sglang --list=$(run)/$*/sglang.list -o $@
$(call each,sglang.sent): $(run)/%/sglang.sent: $(run)/%/sglang.json $(run)/%/submit.vars
	$(call say,SEND) $(MKPR) --send=$< $(no_submit) --no-fail --open=$(run)/$*/sglang.open -o $@ >&2

plan_sessions = $B/bin/plan-sessions $(failed) --kernels=kernels --index=$T/index $(if $(SKIP_WORKLOAD),--skip-workload) \
	--results=$(run)/$*/sessions --sglang=$(run)/$*/sglang.sent
$(call each,plan.json): $(run)/%/plan.json: $(run)/%/definitions.json $(run)/%/sglang.sent $(run)/%/sessions.vars $T/index/flashinfer_trace.json $(kernel_files) $B/bin/plan-sessions $$(wildcard $(run)/$$*/sessions/*/session.json)
	$(call say,PLAN) $(plan_sessions) --make=$(run)/$*/sessions.mk -o $@ $(run)/$*/kernels.json

# The engine that sessions run on. A session that failed is tried again by
# the next run; it does not stop what does not need it.
has_gpu := $(wildcard /dev/nvidia[0-9]*)
engine  := $(if $(SKIP_WORKLOAD),none,$(if $(filter-out auto,$(ENGINE)),$(ENGINE),$(if $(SERVER),sglang,$(if \
	$(if $(has_gpu),$(shell $(PYTHON) -c 'import importlib.util as i; print("y" if i.find_spec("sglang") else "")' 2>/dev/null)),sglang,sim))))
$(if $(filter-out none sim sglang,$(engine)),$(error onboard: ENGINE=$(ENGINE): it is auto, sglang, sim or none))
engine_args = --kernels=kernels --dataset=$T/flashinfer-trace --config=$(run)/$*/config.json
collect_sglang = $B/bin/collect $(engine_args) \
	--model=$(or $(MODEL_PATH),$$(jq -r '.hf_repo_id // empty' $(run)/$*/serving.json)) $(if $(SERVER),--server='$(SERVER)') $(COLLECT_FLAGS)
engine_sglang = S=sessions LAUNCHER='$(LAUNCHER)' COLLECT="$(collect_sglang)"
engine_sim = S=sim LAUNCHER= COLLECT="$B/bin/simserve $(engine_args) --to=$T/sim-trace/$* $(SIM_FLAGS)"
$(foreach m,$(MODELS),$(eval $(run)/$m/engine.vars: $(call vars,$(run)/$m/engine.vars,$(engine))))
$(foreach m,$(MODELS),$(eval $(run)/$m/collected: $(call open,$m,collected)))
$(call each,engine.vars): $(run)/%/engine.vars:
	$(call put,$(engine))
$(call each,collected): $(run)/%/collected: $(run)/%/plan.json $(run)/%/engine.vars scripts/run-sessions $B/bin/collect $B/bin/simserve $B/bin/dumpwl
	$(plus)$(call say,COLLECT,$* ($(engine))) scripts/run-sessions $(engine) $(run)/$* $(engine_$(engine)); touch $@

$(call each,sessions.json): $(run)/%/sessions.json: $(run)/%/collected $(run)/%/plan.json
	$(call say,SESSIONS) $(plan_sessions) --engine=$(engine) --simulated=$(run)/$*/sim -o $@ $(run)/$*/kernels.json

#:   workloads    each session of each MODEL: an engine to workload files (ENGINE=, LAUNCHER=, SERVER=)
workloads: $(if $(strip $(MODELS)),,need-model) $(MODELS:%=workloads-%)
$(MODELS:%=workloads-%): workloads-%: $(run)/%/plan.json
	+@rm -f $(run)/$*/collected; $(MAKE) MODELS=$* $(run)/$*/sessions.json || exit; \
		if [ -e $(run)/$*/lower.again ]; then rm $(run)/$*/lower.again; $(MAKE) MODELS=$* workloads; \
		else [ ! -e $(run)/$*/collected.open ]; fi
.PHONY: workloads $(MODELS:%=workloads-%)

# reference tests of what is new, where PYTHON has PyTorch; their output
# stands in the pull request
$(call each,reftests.json): $(run)/%/reftests.json: $(run)/%/definitions.json scripts/reftests
	$(call say,REFTESTS) scripts/reftests '$(PYTHON)' $T/flashinfer-trace $(run)/$* >$(half); mv $(half) $@
#:   reftests     run the reference tests of each MODEL again
reftests: $(if $(strip $(MODELS)),,need-model)
	@rm -f $(call each,reftests.json); $(MAKE) $(call each,reftests.json)
.PHONY: reftests

# baselines of what was collected, measured where there is a GPU
$(call each,traces.json): $(run)/%/traces.json: $(run)/%/sessions.json scripts/run-traces $B/bin/evalwl $B/bin/evalrun
	$(call say,TRACES) scripts/run-traces $T/flashinfer-trace $(run)/$* '$(PYTHON)' $B/bin/evalwl $(failed) \
		--dataset=$T/flashinfer-trace --cache=$T/eval --python='$(PYTHON)' $(EVAL_FLAGS) >$(half); mv $(half) $@

page := $T/flashinfer-bench/docs/model_coverage.mdx
$(call each,outbox.json): $(run)/%/outbox.json: $(run)/%/sessions.json $(run)/%/issues.sent $(run)/%/reftests.json $(run)/%/traces.json $(run)/%/possible.json $(wildcard $(page)) $B/bin/mkpr
	$(call say,MKPR) $(MKPR) --list=$(run)/$*/outbox.list -o $@
# what failed is told by the exit code, and the manifest has it all the same
$(call each,outbox.sent): $(run)/%/outbox.sent: $(run)/%/outbox.json $(run)/%/submit.vars
	$(call say,SEND) $(MKPR) --send=$< $(no_submit) -o $@ >&2 || { code=$$?; $(call make_manifest,$*,$(call manifest,$*)); exit $$code; }

# what the chosen phases end in
last_of = $(or $(if $(call phase,4),$1/outbox.sent),$(if $(call phase,3),$1/sessions.json),\
	$(if $(call phase,2),$1/definitions.json),$(if $(call phase,1),$1/kernels.json))

make_manifest = $B/bin/manifest --failed=$(run)/$1/failed --run=$(run)/$1 --slug=$1 --repos=$T/repos.json -o $2
define manifest_rule
$(call manifest,$1): $(call last_of,$(run)/$1) $T/repos.json $(indexes) $(run)/$1/date $B/bin/manifest
	$$(call say,MANIFEST) $$(call make_manifest,$1,$$@)
endef
$(foreach m,$(MODELS),$(eval $(call manifest_rule,$m)))

#:   onboard      MODEL=X or MODELS="a b": all phases, resumed where they stopped
#:   plan         what onboard would do, in words (same as DRY_RUN=1)
ifneq ($(filter-out 0,$(DRY_RUN)),)
onboard: plan
else
onboard: $(if $(strip $(MODELS)),,need-model) $(foreach m,$(MODELS),$(call manifest,$m))
	+@$(again)
endif
# the models of which a session asked for a lower TP, once more
again = a=; for m in $(MODELS); do [ ! -e $(run)/$$m/lower.again ] || { rm $(run)/$$m/lower.again; a="$$a $$m"; }; done; \
	[ -z "$$a" ] || $(MAKE) MODELS="$$a" $@
.PHONY: need-model
need-model:
	@echo "onboard: say which model: make MODEL=llama-3.1-8b onboard" >&2; exit 2

plan: $(if $(strip $(MODELS)),,need-model)
	@scripts/plan '$B' '$T' $(MODELS)

#:   status       the kernel table of every model under tmp/run
status:
	@scripts/status $T $(MODELS)
#:   outbox       what would be sent
outbox:
	@find $T/outbox -type f 2>/dev/null | LC_ALL=C sort || true
#:   check-prs    the reviewers' checklist of each MODEL, item by item
check-prs: $(if $(strip $(MODELS)),,need-model) $(MODELS:%=check-prs-%)
$(MODELS:%=check-prs-%): check-prs-%: $(run)/%/outbox.json
	@$(MKPR) --check=$< $(no_submit)
.PHONY: check-prs $(MODELS:%=check-prs-%)

#:   rehearse     send the run of each MODEL to a GitHub and a Hub on this machine
rehearse: $(if $(strip $(MODELS)),,need-model) $(MODELS:%=$(run)/%/outbox.json) $B/bin/rehearse-hub
	@scripts/rehearse '$B' '$T' $(MODELS)
.PHONY: rehearse

#:   checkset     check the dataset clone with our definitions in it
checkset: $B/bin/checkset
	@$B/bin/checkset --kernels=kernels $T/flashinfer-trace

#:   discover     models new in SGLang or the cookbook since SINCE (30.days)
discover: $B/bin/discover $B/bin/fetch-repos $T/sources.vars $(indexes)
	$(call say,DISCOVER,$T/discovered.json) $(fetch_repos) --since='$(SINCE)' >&2; \
	for n in sglang sgl_cookbook flashinfer_bench; do $B/bin/index-apis --repos=$T/repos.json \
		--wish=manifests/repos.json --root=$T --snapshot=$(SNAPSHOT) -o $T/index/$$n.json $$n; done; \
	$B/bin/discover --root=$T --repos=$T/repos.json --index=$T/index --since='$(SINCE)' -o $T/discovered.json

# every way to serve: which names the config bears out at all
$(call each,possible.json): $(run)/%/possible.json: $(run)/%/serving.json $(kernel_files) $B/bin/needed
	$(call say,SHAPES) if [ -e $(run)/$*/config.json ]; then \
		printf '{"tp":[1,2,4,8,16,32],"ep":[1,2,4,8,16,32,64],"page_sizes":[1,16,32,64]}' | \
		$B/bin/needed $(failed) --kernels=kernels --config=$(run)/$*/config.json --serving=- -o $@; \
		else printf '{"kernels": []}\n' >$(half); mv $(half) $@; fi
$(call each,coverage.mdx): $(run)/%/coverage.mdx: $(run)/%/sessions.json $(run)/%/possible.json $T/index/flashinfer_bench.json $B/bin/coverage
	$(call say,COVERAGE) $B/bin/coverage $(failed) --run=$(run)/$* --index=$T/index/flashinfer_trace.json \
		--possible=$(run)/$*/possible.json --page=$(page) --report=$(run)/$*/coverage.json -o $@
#:   coverage     the coverage page brought up to date for each MODEL, as a diff
coverage: $(if $(strip $(MODELS)),,need-model) $(call each,coverage.mdx)
	@for m in $(MODELS); do diff -u --label a/docs/model_coverage.mdx --label b/docs/model_coverage.mdx \
		$(page) $(run)/$$m/coverage.mdx || [ $$? -eq 1 ]; done

#:   snapshot     make manifests/snapshot anew from the trees at hand (SHARED=)
snapshot: $(indexes)
	$(call say,SNAPSHOT,$(SNAPSHOT)) scripts/snapshot $T $(SNAPSHOT) $(SHARED)/models

# ---- evaluation on a GPU, and our kernels ----

dataset   = $(or $(DATASET),$T/flashinfer-trace)
nvcc     := $(firstword $(shell command -v nvcc) $(wildcard $(or $(CUDA_HOME),/usr/local/cuda)/bin/nvcc))
gencode   = $(foreach a,$(GPU_ARCHS),-gencode arch=compute_$a,code=sm_$a)
NVCCFLAGS := -O3 -std=c++17 -Xcompiler -fPIC -shared

eval_files := tools/lib/fileio.c tools/lib/mem.c
$B/eval/libevalcpu.so: tools/eval/cpu.c $(eval_files) $(wildcard tools/eval/*.h)
	$(call say,CC) mkdir -p $(@D); $(flags) -ffp-contract=off -fPIC -shared -o $@ $< $(eval_files) -lm
$B/eval/libevalcuda.so: tools/eval/cuda.cu $(eval_files) $(wildcard tools/eval/*.h tools/eval/*.cuh) | need-nvcc
	$(call say,NVCC) mkdir -p $(@D); $(nvcc) $(NVCCFLAGS) $(gencode) -o $@ $< $(eval_files) -ldl
all: $B/eval/libevalcpu.so

need-nvcc:
	@[ -n '$(nvcc)' ] || { echo "onboard: there is no nvcc (CUDA toolkit) here: kernels are not compiled (CUDA_HOME= names one)" >&2; exit 1; }
.PHONY: need-nvcc kernels kernels-inner traces bench-gpu

mksol = $B/bin/mksol --dataset=$(dataset) --to=$T/gpu $(DEFINITIONS)
#:   kernels      our CUDA kernels for the definitions of the dataset clone, compiled (GPU_ARCHS=)
kernels: need-nvcc $B/bin/mksol $B/eval/libevalcuda.so $(if $(DATASET),,$T/repos.json)
	@$(mksol); $(MAKE) -k kernels-inner; [ ! -s $T/gpu/none.txt ] || echo "  no kernel of ours: $$(wc -l <$T/gpu/none.txt) definitions ($T/gpu/none.txt)" >&2
-include $(wildcard $T/gpu/kernels.mk)
kernels-inner: $(solutions)
$(solutions): $T/gpu/lib/onboard_cuda_%.so:
	$(call say,NVCC) mkdir -p $(@D); $(nvcc) $(NVCCFLAGS) $(gencode) -I$T/gpu/src/$* -o $@.tmp $T/gpu/src/$*/kernel.cu -lcublas -lcublasLt; mv $@.tmp $@

evalwl = $B/bin/evalwl --dataset=$(dataset) --lib=$T/gpu/lib --cache=$T/eval --python='$(PYTHON)' $(EVAL_FLAGS)
# of a tree with workloads/: whose there are, and what is said where there are none
evaluated = $(or $(DEFINITIONS),$(basename $(notdir $(wildcard $1/workloads/*/*.jsonl))))
no_workloads = echo '  no workloads in $1/workloads: make workloads, or DEFINITIONS=' >&2
#:   traces       solutions of the dataset clone on its workloads, on a GPU
traces: all $B/eval/libevalcuda.so
	@$(if $(call evaluated,$(dataset)),$(evalwl) $(call evaluated,$(dataset)),$(call no_workloads,$(dataset)))
# of another tree: simulated workloads are measured, never put among the dataset's traces
bench_from = $(or $(WORKLOADS),$(dataset))
benched = $(call evaluated,$(bench_from))
#:   bench-gpu    the same on new traces, and a table: time, bandwidth, against FlashInfer and Triton
bench-gpu: kernels
	@if [ -z '$(has_gpu)' ]; then \
		sed -n 's/^solutions :=//p' $T/gpu/kernels.mk | tr ' ' '\n' | sed -n 's/.*onboard_cuda_\(.*\)[.]so/\1/p' >$T/gpu/not-run.txt; \
		echo "  compiled for $(GPU_ARCHS:%=sm_%), not run, no GPU here: $$(wc -l <$T/gpu/not-run.txt) kernels ($T/gpu/not-run.txt)" >&2; \
	else $(if $(benched),$(evalwl) --workloads=$(bench_from) --traces=$T/bench/traces --again --graph --planned $(benched); \
		scripts/gpu-table $(dataset) $T/bench/traces $(bench_from),$(call no_workloads,$(bench_from))); fi

include tests/tests.mk

#:   clean        remove build/       distclean    also tmp/
clean:
	rm -rf $B
distclean: clean
	rm -rf $T
