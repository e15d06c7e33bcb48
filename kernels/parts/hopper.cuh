/*
 * hopper.cuh - what kernels of Hopper share: mbarriers and wgmma (PTX ISA, "Asynchronous
 * warpgroup level matrix instructions"), for code of sm_90a only.
 */
#pragma once

#include "work.cuh"

/*
 * Whether this device runs a kernel for sm_90a with so much shared memory; it is let have it. Compiled for
 * sm_90 and not for sm_90a, such a kernel has no body, hence no barriers in shared memory.
 */
static inline bool hopper_able(const void *kernel, int smem)
{
	cudaFuncAttributes has;
	int dev = 0, major = 0;
	bool able;

	cudaGetDevice(&dev);
	cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, dev);
	able = major == 9 && !cudaFuncGetAttributes(&has, kernel) && has.sharedSizeBytes > 0 &&
		!cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, smem);
	cudaGetLastError();
	return able;
}

/* What the copying warpgroup tells the others of a unit: rows of a request, and its KV head if not all are one. */
struct hopper_unit {
	int q_from, q_len, head, first, shift, seen;
	int tiles;	/* of keys; -1: there are no more units */
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/* Rows from `first` on, `most` of them and G of a token, see tiles of so many keys. */
template <int G, typename M>
static __device__ __forceinline__ struct hopper_unit hopper_unit_of(const M &m, int b, int head, int first,
								    int most, int tile)
{
	struct hopper_unit w;

	w.head = head;
	w.first = first;
	w.q_from = m.q_from(b);
	w.q_len = m.q_to(b) - w.q_from;
	int kv_len = m.kv_len(b), last_row = min(w.first + most, w.q_len * G) - 1;
	w.shift = kv_len - w.q_len;
	w.seen = min(kv_len, last_row / G + w.shift + 1);
	w.tiles = w.seen > 0 ? (w.seen + tile - 1) / tile : 0;
	return w;
}

static __device__ __forceinline__ void bar_init(uint32_t bar, int count)
{
	asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(bar), "r"(count) : "memory");
}

static __device__ __forceinline__ void bar_arrive(uint32_t bar)
{
	asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(bar) : "memory");
}

static __device__ __forceinline__ void bar_wait(uint32_t bar, int phase)
{
	asm volatile("{\n.reg .pred p;\nagain:\n"
		     "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
		     "@p bra done;\nbra again;\ndone:\n}" :: "r"(bar), "r"(phase) : "memory");
}

/*
 * Arrives when this thread's copies (cp.async) so far are there; it does not wait. Who waits for the barrier may
 * give them to wgmma: no fence of proxies stands between the two, as in CUTLASS's own main loops over
 * cp.async (sm90_mma_multistage_gmma_ss_warpspecialized.hpp). One costs some hundred cycles of the tensor cores a tile.
 */
static __device__ __forceinline__ void bar_arrive_copied(uint32_t bar)
{
	asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" :: "r"(bar) : "memory");
}

static __device__ __forceinline__ void bar_arrive_if(uint32_t bar, bool yes)
{
	asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %1, 0;\n@p mbarrier.arrive.shared::cta.b64 _, [%0];\n}" ::
		     "r"(bar), "r"((int)yes) : "memory");
}

/* What this thread wrote to shared memory is there for wgmma. */
static __device__ __forceinline__ void proxy_fence(void)
{
	asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Named barriers of the first `threads` that come, 1 to 15: wait there, or only be counted. */
static __device__ __forceinline__ void group_sync(int name, int threads)
{
	asm volatile("bar.sync %0, %1;" :: "r"(name), "r"(threads) : "memory");
}

static __device__ __forceinline__ void group_arrive(int name, int threads)
{
	asm volatile("bar.arrive %0, %1;" :: "r"(name), "r"(threads) : "memory");
}

/*
 * Requests by their keys, those with the fewest first: units are drawn from the last on, and a few long ones
 * at the very end would leave all other blocks without work. Of THREADS requests at most; more stay as they are.
 */
template <int THREADS, typename M>
static __device__ __forceinline__ void hopper_sort(short *order, int *keys, const M &m, int batch)
{
	int i = threadIdx.x, mine = 0, before = 0;

	if (i < batch)
		keys[i] = mine = m.kv_len(i);
	__syncthreads();
	for (int k = 0; k < batch && batch <= THREADS; k++)
		before += keys[k] < mine || (keys[k] == mine && k < i);
	if (i < batch)
		order[batch <= THREADS ? before : i] = (short)i;
	__syncthreads();
}

template <int THREADS>
static __device__ __forceinline__ int hopper_nth(const short *order, int i)
{
	return i < THREADS ? order[i] : i;
}

/*
 * Units from the last to the first, by tickets; for the warpgroup that copies: whether there is a u-th, and the
 * request b that has it, `low` units before that. The last rows of a request see the most and come first. A ticket
 * is drawn while its block works; the barriers, this one and the caller's after the unit, keep it from the warps
 * that still read the one before.
 */
enum { COPIERS = 3 };	/* named barrier */

template <typename F>
static __device__ __forceinline__ bool hopper_draw(int64_t u, F units, int64_t &low, int &b, unsigned *ticket,
						   unsigned *tickets)
{
	group_sync(COPIERS, 128);
	if (u < 0)
		return false;
	if (threadIdx.x == 0)
		*ticket = atomicAdd(tickets, 1u);
	while (u < low)
		low -= units(--b);
	return true;
}

/* Nobody reads the last unit any more: there are no others. The last block leaves the tickets as they were. */
static __device__ __forceinline__ void hopper_end(struct hopper_unit *told, uint32_t qfull, unsigned *tickets)
{
	copy_commit();
	copy_wait<0>();
	if (threadIdx.x == 0) {
		told->tiles = -1;
		bar_arrive(qfull);
		if (atomicAdd(tickets + 1, 1u) == gridDim.x - 1)
			tickets[0] = tickets[1] = 0;
	}
	bar_arrive(qfull);
}

static __device__ __forceinline__ void wg_fence(void)
{
	asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

static __device__ __forceinline__ void wg_commit(void)
{
	asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int N> static __device__ __forceinline__ void wg_wait(void)
{
	asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(N) : "memory");
}

static __device__ __forceinline__ float ex2(float x)
{
	asm("ex2.approx.ftz.f32 %0, %0;" : "+f"(x));
	return x;
}

/*
 * A matrix in the 128-byte swizzle. Columns along K: `lead` does not matter, 8 rows are 1024
 * bytes. Rows along K (values): `lead` is from panel to panel.
 */
static __device__ __forceinline__ uint64_t wg_matrix(uint32_t at, uint32_t lead)
{
	return (uint64_t)(at >> 4 & 0x3fff) | (uint64_t)(lead >> 4) << 16 | (uint64_t)(1024 >> 4) << 32 |
		(uint64_t)1 << 62;
}

/*
 * The greatest of a row's logits in a fragment of N * 8 columns and of `was`: of row h of this thread's two, in all
 * lanes that have it. CUT: those from column `limit` on are masked, in d too.
 */
template <int N, bool CUT>
static __device__ __forceinline__ float wg_row_max(float *d, int h, int limit, float was)
{
	float top[4] = { was, was, was, was };
	int lane = threadIdx.x % 32;	/* signed: so is limit */

	#pragma unroll
	for (int n = 0; n < N; n++)
		#pragma unroll
		for (int e = 0; e < 2; e++) {
			float &x = d[n * 4 + h * 2 + e], &best = top[n % 2 * 2 + e];

			if (CUT && n * 8 + lane % 4 * 2 + e >= limit)
				x = -INFINITY;
			best = fmaxf(best, x);
		}
	return quad_max(fmaxf(fmaxf(top[0], top[1]), fmaxf(top[2], top[3])));
}

/* Accumulators change behind the compiler's back: it is not to move their use over a wait. */
template <int N> static __device__ __forceinline__ void wg_hold(float *d)
{
	#pragma unroll
	for (int i = 0; i < N; i++)
		asm volatile("" : "+f"(d[i]) :: "memory");
}

#define WG_D4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define WG_D16(d, i) WG_D4(d, i), WG_D4(d, i + 4), WG_D4(d, i + 8), WG_D4(d, i + 12)
#define WG_D64(d) WG_D16(d, 0), WG_D16(d, 16), WG_D16(d, 32), WG_D16(d, 48)

#endif
