/*
 * host.h - a GPU of sm_80 on the processor, for tests: our kernels compiled by the host's compiler
 * (tests/cuda/translate.py); with HOST_SM90 one of sm_90a (host_sm90.h). Slow, and blind to races; sums, masks, indices, merges and edges are the kernels'
 * own.
 *
 * A block is run at a time. Each of its threads has a stack of its own (made by ucontext, changed by longjmp, which asks
 * the system for nothing) and goes on until it waits for its block or its warp, or ends. What a warp does together (shuffles, matrix fragments) is written to slots, waited
 * for, and read: two sets of slots in turns, since nobody is two steps ahead.
 */
#pragma once

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <setjmp.h>
#include <ucontext.h>
#include <vector>

#undef __shared__
#undef __global__
#undef __device__
#undef __host__
#undef __forceinline__
#undef __noinline__
#undef __launch_bounds__
#define __shared__ static
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#undef __grid_constant__
#define __grid_constant__
#ifdef HOST_SM90		/* a GPU of sm_90a, host_sm90.h */
#define __CUDA_ARCH__ 900
#define __CUDA_ARCH_FEAT_SM90_ALL
#else
#define __CUDA_ARCH__ 800
#endif

namespace host {

enum { WARP = 32, SMS = 8, STACK = 256 << 10, SHARED = (__CUDA_ARCH__ == 900 ? 227 : 164) << 10, WORDS = 8 };
enum state { RUNS, POLLS, BLOCK, WARPED, ENDED };

struct thread {
	ucontext_t begin;
	jmp_buf at;
	std::vector<char> stack;
	bool begun;
	enum state state;
	unsigned steps;		/* of its warp, so far */
	int products;		/* groups of wgmma, so far */
};

struct machine {
	alignas(1024) char shared[SHARED];	/* address 0 */
	struct { int count, times; } named[16];
	std::vector<struct thread> threads;
	jmp_buf home;
	std::function<void()> body;
	size_t n, now, polled;	/* threads; which one runs; what any waited for and saw */
	size_t blocks;		/* so far */
	uint3 thread, block;
	dim3 threads_of, grid;
	uint32_t slot[32][2][WARP][WORDS];
};

inline struct machine gpu;

inline void wait(enum state what)
{
	struct thread &t = gpu.threads[gpu.now];

	t.state = what;
	if (!_setjmp(t.at))
		_longjmp(gpu.home, 1);
}

/* Until something is so. */
template <typename F> static inline void poll(F so)
{
	while (!so())
		wait(POLLS);
	gpu.polled++;
}

inline void start(void)
{
	gpu.body();
	wait(ENDED);
}

/* Whether all of these that have not ended wait for this: then they go on. */
inline bool release(size_t from, size_t to, enum state what)
{
	bool any = false;

	for (size_t i = from; i < to; i++) {
		if (gpu.threads[i].state != what && gpu.threads[i].state != ENDED)
			return false;
		any |= gpu.threads[i].state == what;
	}
	for (size_t i = from; any && i < to; i++)
		if (gpu.threads[i].state == what)
			gpu.threads[i].state = RUNS;
	return any;
}

inline void go_on(size_t i)
{
	struct thread &t = gpu.threads[i];

	gpu.now = i;
	gpu.thread = { (unsigned)i % gpu.threads_of.x, (unsigned)i / gpu.threads_of.x, 0 };
	if (_setjmp(gpu.home))
		return;
	if (t.begun)
		_longjmp(t.at, 1);
	t.begun = true;
	setcontext(&t.begin);
}

/* Those that can go on do, once: all but the threads of a warp, or only these. Whether any did. */
inline bool round(size_t warp, bool others)
{
	bool any = false;

	for (size_t i = 0; i < gpu.n; i++) {
		size_t polled = gpu.polled;
		enum state was = gpu.threads[i].state;

		if ((i / WARP == warp) == others || (was != RUNS && was != POLLS))
			continue;
		go_on(i);
		any |= was == RUNS || gpu.polled != polled;
	}
	for (size_t i = 0; i < gpu.n; i += WARP)
		any |= release(i, std::min(i + WARP, gpu.n), WARPED);
	return release(0, gpu.n, BLOCK) || any;
}

/*
 * In each block another warp is late, or none: it goes on when nobody else can. So who counts on others that are as far
 * as itself waits for ever here, where on a GPU it would once in a year.
 */
inline void run_block(void)
{
	size_t late = gpu.blocks++ % ((gpu.n + WARP - 1) / WARP + 1);

	memset(gpu.named, 0, sizeof gpu.named);
	for (size_t i = 0; i < gpu.n; i++) {
		struct thread &t = gpu.threads[i];

		t.stack.resize(STACK);
		getcontext(&t.begin);
		t.begin.uc_stack.ss_sp = t.stack.data();
		t.begin.uc_stack.ss_size = STACK;
		makecontext(&t.begin, start, 0);
		t.begun = false;
		t.state = RUNS;
		t.steps = 0;
		t.products = 0;
	}
	while (round(late, true) || round(late, false))
		;
	for (size_t i = 0; i < gpu.n; i++)
		if (gpu.threads[i].state != ENDED) {
			fprintf(stderr, "thread %zu of block (%u, %u, %u) waits for ever\n", i, gpu.block.x,
				gpu.block.y, gpu.block.z);
			abort();
		}
}

inline void launch(dim3 grid, dim3 threads, size_t shared, std::function<void()> body)
{
	gpu.n = (size_t)threads.x * threads.y * threads.z;
	if (shared > SHARED || gpu.n > 1024 || !gpu.n) {
		fprintf(stderr, "no such block on this GPU: %zu threads, %zu bytes\n", gpu.n, shared);
		abort();
	}
	gpu.threads.resize(1024);
	gpu.body = body;
	gpu.grid = grid;
	gpu.threads_of = threads;
	for (unsigned z = 0; z < grid.z; z++)
		for (unsigned y = 0; y < grid.y; y++)
			for (unsigned x = 0; x < grid.x; x++) {
				gpu.block = { x, y, z };
				memset(gpu.shared, 0xff, SHARED);	/* nan */
				run_block();
			}
}

/* What this lane gives to its warp; then what each lane gave. */
template <typename T> struct together {
	uint32_t (*all)[WORDS];

	explicit together(const T &mine)
	{
		struct thread &t = gpu.threads[gpu.now];

		static_assert(sizeof(T) <= WORDS * 4, "a slot is larger");
		all = gpu.slot[gpu.now / WARP][t.steps++ % 2];
		memcpy(all[gpu.now % WARP], &mine, sizeof mine);
		wait(WARPED);
	}
	T of(int lane) const
	{
		T v;

		memcpy(&v, all[lane], sizeof v);
		return v;
	}
};

inline int lane(void) { return (int)(gpu.now % WARP); }

template <typename V> static inline float half_of(uint32_t two, int i)
{
	V v[2];

	memcpy(v, &two, sizeof two);
	return (float)v[i];
}

}

static inline void __syncthreads(void) { host::wait(host::BLOCK); }
static inline void __syncwarp(unsigned = ~0u) { host::wait(host::WARPED); }
static inline void __threadfence(void) { }

template <typename T> static inline T __shfl_sync(unsigned, T v, int from, int width = 32)
{
	return host::together<T>(v).of(host::lane() / width * width + from % width);
}

template <typename T> static inline T __shfl_xor_sync(unsigned, T v, int by, int = 32)
{
	return host::together<T>(v).of(host::lane() ^ by);
}

template <typename T> static inline T __shfl_up_sync(unsigned, T v, int by, int = 32)
{
	host::together<T> all(v);

	return host::lane() < by ? v : all.of(host::lane() - by);
}

static inline unsigned __ballot_sync(unsigned, bool yes)
{
	host::together<bool> all(yes);
	unsigned ret = 0;

	for (int i = 0; i < 32; i++)
		ret |= (unsigned)all.of(i) << i;
	return ret;
}

static inline bool __all_sync(unsigned, bool yes)
{
	host::together<bool> all(yes);
	bool ret = true;

	for (int i = 0; i < 32; i++)
		ret &= all.of(i);
	return ret;
}

static inline int __reduce_max_sync(unsigned, int v)
{
	host::together<int> all(v);

	for (int i = 0; i < 32; i++)
		v = std::max(v, all.of(i));
	return v;
}

template <typename T, typename U> static inline T atomicAdd(T *at, U by)
{
	T was = *at;

	*at += (T)by;
	return was;
}

template <typename T> static inline T atomicMax(T *at, T v)
{
	T was = *at;

	*at = std::max(was, v);
	return was;
}

template <typename T> static inline T __ldcs(const T *p) { return *p; }
template <typename T> static inline T __ldcg(const T *p) { return *p; }
template <typename T> static inline void __stcs(T *p, T v) { *p = v; }

static inline unsigned __float_as_uint(float x)
{
	unsigned u;

	memcpy(&u, &x, 4);
	return u;
}

static inline float __uint_as_float(unsigned u)
{
	float x;

	memcpy(&x, &u, 4);
	return x;
}

#define __expf expf
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }

template <typename A, typename B> static inline std::common_type_t<A, B> min(A a, B b)
{
	return (std::common_type_t<A, B>)a < (std::common_type_t<A, B>)b ? a : b;
}

template <typename A, typename B> static inline std::common_type_t<A, B> max(A a, B b)
{
	return (std::common_type_t<A, B>)a > (std::common_type_t<A, B>)b ? a : b;
}

/* ---- what kernels/parts/ptx.cuh has in PTX ---- */

/* An address in shared memory, of 32 bits. */
static inline uint32_t smem_at(const void *p)
{
	return (uint32_t)((const char *)p - (const char *)&host::gpu);
}

static inline char *smem_of(uint32_t at)
{
	return (char *)&host::gpu + (int32_t)at;
}

static inline void copy16(uint32_t to, const void *from, bool there)
{
	if (there)
		memcpy(smem_of(to), from, 16);
	else
		memset(smem_of(to), 0, 16);
}

static inline void copy8(uint32_t to, const void *from) { memcpy(smem_of(to), from, 8); }
static inline void prefetch(const void *) { }
static inline void copy_commit(void) { }
template <int N> static inline void copy_wait(void) { }
static inline void launched_early(void) { }

/* Barriers, which threads poll. */
namespace host {

struct bar {
	uint64_t expected : 12, pending : 12, phase : 1;
	int64_t bytes : 32;	/* that are still to come */
};

inline struct bar *bar_of(uint32_t at) { return (struct bar *)smem_of(at); }

}

static inline void bar_init(uint32_t bar, int count)
{
	*host::bar_of(bar) = { (uint64_t)count, (uint64_t)count, 0, 0 };
}

/* So many arrive, and so many bytes more are to come. */
static inline void bar_change(uint32_t bar, int arrivals, int bytes)
{
	struct host::bar *b = host::bar_of(bar);

	b->pending -= arrivals;
	b->bytes += bytes;
	if (b->pending == 0 && b->bytes == 0) {
		b->pending = b->expected;
		b->phase ^= 1;
	}
}

static inline void bar_arrive(uint32_t bar) { bar_change(bar, 1, 0); }

static inline void bar_wait(uint32_t bar, int phase)
{
	host::poll([=] { return host::bar_of(bar)->phase != (uint32_t)phase; });
}

static inline void bar_arrive_copied(uint32_t bar) { bar_arrive(bar); }

static inline void bar_arrive_if(uint32_t bar, bool yes)
{
	if (yes)
		bar_arrive(bar);
}

static inline void group_arrive(int name, int threads)
{
	if (++host::gpu.named[name].count == threads) {
		host::gpu.named[name].count = 0;
		host::gpu.named[name].times++;
	}
}

static inline void group_sync(int name, int threads)
{
	int times = host::gpu.named[name].times;

	group_arrive(name, threads);
	host::poll([=] { return host::gpu.named[name].times != times; });
}

/* Lane l has the address of row l % 8 of matrix l / 8. */
static inline void ldm4(uint32_t r[4], uint32_t at)
{
	host::together<uint32_t> rows(at);
	int l = host::lane();

	for (int m = 0; m < 4; m++)
		memcpy(&r[m], smem_of(rows.of(m * 8 + l / 4)) + l % 4 * 4, 4);
}

static inline void ldm4t(uint32_t r[4], uint32_t at)
{
	host::together<uint32_t> rows(at);
	int l = host::lane();

	for (int m = 0; m < 4; m++)
		for (int i = 0; i < 2; i++)
			memcpy((char *)&r[m] + i * 2, smem_of(rows.of(m * 8 + l % 4 * 2 + i)) + l / 4 * 2, 2);
}

static inline float __fdividef(float x, float y) { return x / y; }
static inline float ex2(float x) { return exp2f(x); }

static inline uint32_t transposed(uint32_t x)
{
	host::together<uint32_t> all(x);
	int l = host::lane();
	uint32_t v = 0;

	for (int i = 0; i < 2; i++)
		v |= (all.of((l % 4 * 2 + i) * 4 + l / 8) >> l / 4 % 2 * 16 & 0xffff) << i * 16;
	return v;
}

/* PTX ISA, "Matrix fragments for mma.m16n8k16 with floating point type". */
template <typename T>
static inline void mma(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1, T)
{
	struct piece { uint32_t a[4], b[2]; } mine = { { a[0], a[1], a[2], a[3] }, { b0, b1 } };
	host::together<piece> all(mine);
	int l = host::lane();

	for (int e = 0; e < 4; e++) {
		int row = l / 4 + e / 2 * 8, col = l % 4 * 2 + e % 2;

		for (int k = 0; k < 16; k++) {
			piece x = all.of(row % 8 * 4 + k % 8 / 2), y = all.of(col * 4 + k % 8 / 2);

			d[e] += host::half_of<T>(x.a[row / 8 + k / 8 * 2], k % 2) * host::half_of<T>(y.b[k / 8], k % 2);
		}
	}
}

static inline void mma_tf32(float d[4], const float a[4], float b0, float b1)
{
	struct piece { float a[4], b[2]; } mine = { { a[0], a[1], a[2], a[3] }, { b0, b1 } };
	auto upper = [](float x) { return __uint_as_float(__float_as_uint(x) & ~0x1fffu); };
	host::together<piece> all(mine);
	int l = host::lane();

	for (int e = 0; e < 4; e++)
		for (int k = 0; k < 8; k++)
			d[e] += upper(all.of(l / 4 * 4 + k % 4).a[e / 2 + k / 4 * 2]) *
				upper(all.of((l % 4 * 2 + e % 2) * 4 + k % 4).b[k / 4]);
}

/* ---- the runtime ---- */

extern "C" inline cudaError_t cudaGetDevice(int *dev) { *dev = 0; return cudaSuccess; }
extern "C" inline cudaError_t cudaGetLastError(void) { return cudaSuccess; }

extern "C" inline cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr what, int)
{
	*value = what == cudaDevAttrMultiProcessorCount ? (int)host::SMS :
		what == cudaDevAttrComputeCapabilityMajor ? __CUDA_ARCH__ / 100 :
		what == cudaDevAttrMaxSharedMemoryPerBlockOptin ? (int)host::SHARED : 0;
	return cudaSuccess;
}

extern "C" inline cudaError_t cudaMemsetAsync(void *p, int byte, size_t n, cudaStream_t)
{
	memset(p, byte, n);
	return cudaSuccess;
}

extern "C" inline cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind, cudaStream_t)
{
	memcpy(to, from, n);
	return cudaSuccess;
}

template <typename... A> static inline cudaError_t cudaFuncSetAttribute(void (*)(A...), cudaFuncAttribute, int)
{
	return cudaSuccess;
}

extern "C" inline cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *a, const void *)
{
	a->sharedSizeBytes = 1024;
	return cudaSuccess;
}

extern "C" inline cudaError_t cudaFuncSetAttribute(const void *, cudaFuncAttribute, int) { return cudaSuccess; }

namespace host {

/* cudaLaunchKernelEx(), whose own template passes addresses of untyped arguments on. */
template <typename... E, typename... A>
static inline cudaError_t launch_ex(const cudaLaunchConfig_t *c, void (*kernel)(E...), A &&... a)
{
	launch(c->gridDim, c->blockDim, c->dynamicSmemBytes, [&] { kernel(a...); });
	return cudaSuccess;
}

}
