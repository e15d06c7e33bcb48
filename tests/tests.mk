# Tests and benchmarks. Suites speak TAP; tests/run counts.

units    := $(patsubst tests/unit/%.c,$B/bin/unit-%,$(sort $(wildcard tests/unit/*.c)))
BATS     := bats --tap
log      := $B/tests
test_env := ONBOARD_BUILD='$(abspath $B)' ONBOARD_SHARED='$(abspath $(SHARED))'

$(units): $B/bin/unit-%: $B/obj/tests/unit/%.o $B/lib.a
	$(call say,LINK) mkdir -p $(@D); $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

# the rehearsal hub; only it needs libmicrohttpd
$B/bin/rehearse-hub: $(patsubst %.c,$B/obj/%.o,$(sort $(wildcard tests/hub/*.c))) $B/lib.a
	$(call say,LINK) mkdir -p $(@D); $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lmicrohttpd

unit  = unit='for u in $(units); do CMOCKA_MESSAGE_OUTPUT=TAP $$u || exit 1; done'
lint  = lint='tests/lint'
cli   = cli='$(test_env) $(BATS) tests/cli'
asan  = asan='$(MAKE) SANITIZE=1 check-asan-inner'
peers = peers='$(test_env) PYTHON=$B/peers/bin/python tests/peers/run'

#:   check        quick tests, then the same under sanitizers; no network
check: all $(units) $B/bin/pydump $B/bin/rehearse-hub
	@tests/run $(log) $(lint) $(unit) $(cli) $(asan)
#:   check-quick  without the sanitizers
check-quick: all $(units) $B/bin/pydump $B/bin/rehearse-hub
	@tests/run $(log) $(lint) $(unit) $(cli)
#:   check-asan   unit tests and tools under address and undefined sanitizers
check-asan:
	@tests/run $(log) $(asan)
#:   check-peers  against ast, PyTorch and FlashInfer-Bench's validator (PyPI)
check-peers: all $B/bin/pydump $B/bin/rehearse-hub $B/peers/.done
	@tests/run $(log) $(peers)
#:   check-gpu    our kernels on this machine's GPU: nasty workloads, huge batches, compute-sanitizer (not part of check-all)
check-gpu: need-nvcc all $B/eval/libevalcuda.so $B/peers/.done
	@tests/run $(log) gpu='PATH="$(dir $(nvcc)):$$PATH" GPU_ARCHS="$(GPU_ARCHS)" $B/peers/bin/python tests/peers/gpu.py $B $(SHARED) $T/check-gpu'
.PHONY: check-gpu
#:   check-all    all of these
check-all: all $(units) $B/bin/pydump $B/bin/rehearse-hub $B/peers/.done
	@tests/run $(log) $(lint) $(unit) $(cli) $(asan) $(peers)

# ---- fuzzing: libFuzzer with both sanitizers, in build-asan ----

fuzzers := $(patsubst tests/fuzz/%.c,$B/bin/fuzz-%,$(sort $(wildcard tests/fuzz/*.c)))
$(fuzzers): $B/bin/fuzz-%: $B/obj/tests/fuzz/%.o $B/lib.a
	$(call say,LINK) mkdir -p $(@D); $(CC) $(CFLAGS) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(LDLIBS)

#:   fuzz         each fuzz target for a minute (FUZZ_SECONDS=60)
FUZZ_SECONDS ?= 60
fuzz:
	@$(MAKE) SANITIZE=1 fuzz-inner
fuzz-inner: $(fuzzers)
	@for f in $(fuzzers); do n=$${f##*fuzz-}; mkdir -p $B/fuzz/$$n; echo "fuzz $$n"; \
		$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
		-artifact_prefix=$B/fuzz/$$n- $B/fuzz/$$n tests/fuzz/corpus/$$n 2>&1 | grep -E 'number_of_executed|ERROR|SUMMARY' || exit 1; done
# the corpus alone, as tests; what it finds goes to the first folder, not here
fuzz-corpus: $(fuzzers)
	@i=0; for f in $(fuzzers); do n=$${f##*fuzz-}; i=$$((i + 1)); \
		rm -rf $B/corpus/$$n; mkdir -p $B/corpus/$$n; \
		if $$f -runs=2000 -seed=1 -timeout=10 -verbosity=0 $B/corpus/$$n tests/fuzz/corpus/$$n >$B/fuzz-$$n.log 2>&1; \
		then echo "ok $$i - fuzz $$n: corpus and 2000 mutations"; \
		else echo "not ok $$i - fuzz $$n"; tail -20 $B/fuzz-$$n.log | sed 's/^/# /'; fi; done
.PHONY: fuzz fuzz-inner fuzz-corpus

.PHONY: check-all check-asan-inner
# leaks count in the library's unit tests; a tool exits with what it has
check-asan-inner: all $(units) fuzz-corpus $B/bin/rehearse-hub
	@for u in $(units); do CMOCKA_MESSAGE_OUTPUT=TAP $$u || exit 1; done; \
	ASAN_OPTIONS=detect_leaks=0 SANITIZE=1 $(test_env) $(BATS) tests/cli/tools.bats tests/cli/pipeline.bats tests/cli/checkset.bats \
	tests/cli/dumpwl.bats tests/cli/coverage.bats tests/cli/evalwl.bats && \
	ASAN_OPTIONS=detect_leaks=0 SANITIZE=1 $(test_env) $(BATS) -f 'sent once|tokens|bad input|same requests' tests/cli/publish.bats tests/cli/simserve.bats

# a Python environment of PyPI's packages, for the peers only
$B/peers/.done: tests/peers/requirements.txt
	$(call say,PEERS) rm -rf $(@D); python3 -m venv $(@D); \
	$(@D)/bin/pip install -q --disable-pip-version-check -r $<; touch $@

#:   bench        ratios against git clone, ninja and more, as a table
bench: all $B/bin/rehearse-hub
	@$(test_env) tests/bench; [ ! -x $B/peers/bin/python ] || { echo; $(test_env) tests/bench-publish 200; }
