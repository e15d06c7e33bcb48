/*
 * evaltime.cuh - ev_measure() on an NVIDIA GPU; a part of cuda.cu.
 *
 * CUPTI's kernel records where the library is there (what the device did from the first to the last of a
 * call's kernels, copies and fills; as flashinfer-bench measures), else CUDA events around the call. Before each
 * call twice the L2's size is written.
 */
#pragma once

#include <cupti.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

static struct {
	CUptiResult (*enable)(CUpti_ActivityKind);
	CUptiResult (*disable)(CUpti_ActivityKind);
	CUptiResult (*callbacks)(CUpti_BuffersCallbackRequestFunc,
				 CUpti_BuffersCallbackCompleteFunc);
	CUptiResult (*flush)(uint32_t);
	CUptiResult (*next)(uint8_t *, size_t, CUpti_Activity **);
	int state;	/* 0: not tried, 1: there, -1: not */
} cupti;

struct span { uint64_t from, to; bool kernel, flush; };

static std::vector<struct span> spans;

static void CUPTIAPI buffer_wanted(uint8_t **buf, size_t *size, size_t *max)
{
	*size = 8 << 20;
	*buf = (uint8_t *)aligned_alloc(8, *size);
	*max = 0;
}

static void CUPTIAPI buffer_full(CUcontext, uint32_t, uint8_t *buf, size_t,
				 size_t valid)
{
	CUpti_Activity *a = NULL;

	while (valid && cupti.next(buf, valid, &a) == CUPTI_SUCCESS) {
		switch (a->kind) {
		case CUPTI_ACTIVITY_KIND_KERNEL:
		case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL: {
			CUpti_ActivityKernel9 *k = (CUpti_ActivityKernel9 *)a;
			spans.push_back({ k->start, k->end, true, false });
			break;
		}
		case CUPTI_ACTIVITY_KIND_MEMCPY: {
			CUpti_ActivityMemcpy5 *k = (CUpti_ActivityMemcpy5 *)a;
			spans.push_back({ k->start, k->end, false, false });
			break;
		}
		case CUPTI_ACTIVITY_KIND_MEMSET: {
			CUpti_ActivityMemset4 *k = (CUpti_ActivityMemset4 *)a;
			spans.push_back({ k->start, k->end, false, k->bytes == flush_bytes });
			break;
		}
		default:
			break;
		}
	}
	free(buf);
}

static const CUpti_ActivityKind kinds[] = {
	CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
	CUPTI_ACTIVITY_KIND_MEMSET,
};

static bool cupti_there(void)
{
	static const char *const names[] = { "libcupti.so.13", "libcupti.so.12",
		"libcupti.so", "/usr/local/cuda/extras/CUPTI/lib64/libcupti.so",
		"/usr/local/cuda/lib64/libcupti.so" };
	void *so = NULL;

	if (cupti.state)
		return cupti.state > 0;
	cupti.state = -1;
	for (const char *name : names)
		if (!so)
			so = dlopen(name, RTLD_NOW);
	if (!so) {
		fprintf(stderr, "no libcupti here: CUDA events are the clock\n");
		return false;
	}
#define GET(field, name) if (!(*(void **)&cupti.field = dlsym(so, name))) return false
	GET(enable, "cuptiActivityEnable");
	GET(disable, "cuptiActivityDisable");
	GET(callbacks, "cuptiActivityRegisterCallbacks");
	GET(flush, "cuptiActivityFlushAll");
	GET(next, "cuptiActivityGetNextRecord");
#undef GET
	if (cupti.callbacks(buffer_wanted, buffer_full) != CUPTI_SUCCESS)
		return false;
	for (CUpti_ActivityKind k : kinds) {
		CUptiResult e = cupti.enable(k);

		if (e != CUPTI_SUCCESS) {	/* no permission, another profiler */
			fprintf(stderr, "CUPTI does not trace (error %d): CUDA events are the clock\n", (int)e);
			return false;
		}
	}
	for (CUpti_ActivityKind k : kinds)
		cupti.disable(k);
	cupti.state = 1;
	return true;
}

static double middle(std::vector<double> &v)
{
	size_t n = v.size();

	std::sort(v.begin(), v.end());
	return n == 0 ? 0 : n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static int finish(std::vector<double> &ms, std::vector<double> &kernels,
		  const char *clock, struct ev_times *t)
{
	size_t n = ms.size();

	if (n == 0) {
		snprintf(error, sizeof error, "the solution did nothing on the GPU that could be timed");
		return -1;
	}
	memset(t, 0, sizeof *t);
	t->median = middle(ms);
	t->kernels = middle(kernels);
	t->p10 = ms[n / 10];
	t->p90 = ms[n * 9 / 10];
	t->min = ms[0];
	t->n = (int)n;
	snprintf(t->clock, sizeof t->clock, "%s", clock);
	nvml_read(t);
	return 0;
}

/* What lies between two writes of the whole flush buffer is one call. */
static int measure_cupti(ev_call call, void *arg, int n, std::vector<double> &ms,
			 std::vector<double> &kernels)
{
	struct { uint64_t from, to, kernels; } one = { 0, 0, 0 };
	int failed = 0;

	spans.clear();
	for (CUpti_ActivityKind k : kinds)
		cupti.enable(k);
	for (int i = 0; i < n && !failed; i++) {
		cudaMemsetAsync(flush_buffer, i & 255, flush_bytes, stream);
		failed = call(arg);
	}
	cudaMemsetAsync(flush_buffer, 0, flush_bytes, stream);
	cudaError_t e = cudaStreamSynchronize(stream);
	cupti.flush(1);
	for (CUpti_ActivityKind k : kinds)
		cupti.disable(k);
	if (failed || e != cudaSuccess)
		return fail("the solution failed while it was timed", e);
	std::sort(spans.begin(), spans.end(),
		  [](const struct span &a, const struct span &b) { return a.from < b.from; });
	for (const struct span &s : spans) {
		if (s.flush) {
			if (one.to) {
				ms.push_back((double)(one.to - one.from) / 1e6);
				kernels.push_back((double)one.kernels / 1e6);
			}
			one = { 0, 0, 0 };
			continue;
		}
		one.from = one.to ? one.from : s.from;
		one.to = std::max(one.to, s.to);
		one.kernels += s.kernel ? s.to - s.from : 0;
	}
	return 0;
}

static int measure_events(ev_call call, void *arg, int n, std::vector<double> &ms)
{
	std::vector<cudaEvent_t> ev((size_t)n * 2);
	int failed = 0;
	float t;

	for (auto &e : ev)
		TRY(cudaEventCreate(&e));
	for (int i = 0; i < n && !failed; i++) {
		cudaMemsetAsync(flush_buffer, i & 255, flush_bytes, stream);
		cudaEventRecord(ev[(size_t)i * 2], stream);
		failed = call(arg);
		cudaEventRecord(ev[(size_t)i * 2 + 1], stream);
	}
	cudaError_t e = cudaStreamSynchronize(stream);
	for (int i = 0; i < n && !failed && e == cudaSuccess; i++)
		if (!cudaEventElapsedTime(&t, ev[(size_t)i * 2], ev[(size_t)i * 2 + 1]))
			ms.push_back(t);
	for (auto &x : ev)
		cudaEventDestroy(x);
	return failed || e != cudaSuccess ? fail("the solution failed while it was timed", e) : 0;
}

struct replay { cudaGraphExec_t exec; };

static int replay_call(void *arg)
{
	return cudaGraphLaunch(((struct replay *)arg)->exec, stream) != cudaSuccess;
}

/* CUPTI tells of the kernels that a graph runs, not of its copies. */
static bool copies(cudaGraph_t graph)
{
	std::vector<cudaGraphNode_t> nodes;
	cudaGraphNodeType type;
	size_t n = 0;

	if (cudaGraphGetNodes(graph, NULL, &n))
		return false;
	nodes.resize(n);
	if (cudaGraphGetNodes(graph, nodes.data(), &n))
		return false;
	for (cudaGraphNode_t node : nodes)
		if (!cudaGraphNodeGetType(node, &type) && type == cudaGraphNodeTypeMemcpy)
			return true;
	return false;
}

/* What cannot be captured (it waits for the device) is timed as it is. */
static int capture(ev_call call, void *arg, cudaGraphExec_t *exec, bool *copied)
{
	cudaGraph_t graph = NULL;
	int failed;

	if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed))
		return -1;
	failed = call(arg);
	failed |= cudaStreamEndCapture(stream, &graph) != cudaSuccess || !graph;
	if (!failed) {
		*copied = copies(graph);
		failed = cudaGraphInstantiate(exec, graph, 0) != cudaSuccess;
	}
	if (graph)
		cudaGraphDestroy(graph);
	cudaGetLastError();
	return failed ? -1 : 0;
}

static double once_ms(ev_call call, void *arg, int *failed)
{
	cudaEvent_t a, b;
	float t = 0;

	cudaEventCreate(&a);
	cudaEventCreate(&b);
	cudaEventRecord(a, stream);
	*failed = call(arg);
	cudaEventRecord(b, stream);
	*failed |= cudaStreamSynchronize(stream) != cudaSuccess;
	cudaEventElapsedTime(&t, a, b);
	cudaEventDestroy(a);
	cudaEventDestroy(b);
	return t;
}

extern "C" int ev_measure(ev_call call, void *arg, const struct ev_timing *how,
			  struct ev_times *t)
{
	std::vector<double> ms, kernels;
	struct replay r;
	double one;
	int n = std::max(how->iterations, 1), failed = 0, ret;
	bool replayed = false, copied = false;
	bool by_cupti = !how->events && cupti_there();

	/* a call's own time says how many there is time for */
	one = once_ms(call, arg, &failed);
	if (!failed && one > how->max_ms) {	/* a slow reference: once is enough */
		ms.push_back(one);
		return finish(ms, kernels, "events", t);
	}
	if (!failed)
		one = once_ms(call, arg, &failed);
	for (int i = 2; i < how->warmup && !failed && one * i < how->max_ms / 4; i++)
		failed = call(arg);
	if (failed)
		return fail("the solution failed while it was timed", cudaGetLastError());
	if (one > 0)
		n = (int)std::max(1.0, std::min((double)n, how->max_ms / one));
	if (how->graph && !capture(call, arg, &r.exec, &copied)) {
		call = replay_call;
		arg = &r;
		replayed = true;
		by_cupti = by_cupti && !copied;
	}
	ret = by_cupti ? measure_cupti(call, arg, n, ms, kernels) :
		measure_events(call, arg, n, ms);
	if (!ret && by_cupti && ms.empty())
		ret = measure_events(call, arg, n, ms), by_cupti = false;
	if (replayed)
		cudaGraphExecDestroy(r.exec);
	return ret ? ret : finish(ms, kernels, replayed ? by_cupti ? "graph, cupti" : "graph, events" :
				  by_cupti ? "cupti" : "events", t);
}
