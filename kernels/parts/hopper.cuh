/* hopper.cuh - what kernels of Hopper share beside instructions: units by tickets, matrices, maxima. */
#pragma once

#include "attend.cuh"
#include "ptx_sm90.cuh"
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

/* Tiles before those that a unit sees. */
template <bool WINDOW> struct hopper_skipped {
	int skip;
};

template <> struct hopper_skipped<false> {
	static constexpr int skip = 0;
};

/* What the copying warpgroup tells the others of a unit: rows of a request, and its KV head if not all are one. */
struct hopper_unit : hopper_skipped<(attend_window > 0)> {
	int q_from, q_len, head, first, shift, seen;
	int tiles;	/* of keys; -1: there are no more units */
};

/* Rows of a small page that are a box where they lie together. */
enum { TOGETHER = 16 };

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/* Places for steps of a product in shared memory, taken in turns; steps are counted from the block's first on. */
template <int STAGES, int STAGE> struct hopper_ring {
	enum { BARRIERS = 2 * STAGES };
	uint32_t base, bar;

	__device__ uint32_t at(int n) const { return base + n % STAGES * STAGE; }
	__device__ uint32_t full(int n) const { return bar + n % STAGES * 8; }
	__device__ uint32_t empty(int n) const { return bar + (STAGES + n % STAGES) * 8; }
	__device__ static int phase(int n) { return n / STAGES & 1; }

	/* Who arrives: at full beside bytes of boxes, at empty. By the first BARRIERS threads. */
	__device__ void init(int copiers, int multipliers) const
	{
		if (threadIdx.x < BARRIERS)
			bar_init(bar + threadIdx.x * 8, threadIdx.x < STAGES ? copiers : multipliers);
	}
};

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
	if constexpr (attend_window > 0) {
		w.skip = attend_from(w.first / G + w.shift + 1) / tile;
		w.tiles -= w.skip;
	}
	return w;
}

/*
 * How many units there are, units(b) of request b; and the requests by their keys, those with the fewest first: units
 * are drawn from the last on, and a few long ones at the very end would leave all other blocks without work. Of THREADS
 * requests at most; more stay as they are. keys: that many numbers, nobody's afterwards.
 */
template <int THREADS, typename M, typename F>
static __device__ __forceinline__ int64_t hopper_begin(short *order, int *keys, const M &m, int batch, F units)
{
	__shared__ int64_t sums[THREADS / 32];
	int i = threadIdx.x, mine = i < batch ? m.kv_len(i) : 0, before = 0;
	int64_t sum = 0;

	for (int b = i; b < batch; b += THREADS)
		sum += units(b);
	for (int o = 16; o; o >>= 1)
		sum += __shfl_xor_sync(~0u, sum, o);
	if (i % 32 == 0)
		sums[i / 32] = sum;
	keys[i] = mine;
	__syncthreads();
	sum = 0;
	for (int w = 0; w < THREADS / 32; w++)
		sum += sums[w];
	for (int k = 0; k < batch && batch <= THREADS; k++)
		before += keys[k] < mine || (keys[k] == mine && k < i);
	if (i < batch)
		order[batch <= THREADS ? before : i] = (short)i;
	__syncthreads();
	return sum;
}

template <int THREADS>
static __device__ __forceinline__ int hopper_nth(const short *order, int i)
{
	return i < THREADS ? order[i] : i;
}

/*
 * Units go from the last to the first: the last rows of a request see the most and come first. A block has the
 * blockIdx.x-th from the end, then what it draws tickets for: hopper_draw() for the first thread of the warpgroup that copies, as
 * soon as a unit is begun, since the answer takes a while; hopper_next() for all of them, the turn-th time, what
 * that drew; below 0: there are no more.
 */
enum { COPIERS = 3 };	/* named barrier */

static __device__ __forceinline__ unsigned hopper_draw(unsigned *tickets)
{
	return threadIdx.x == 0 ? atomicAdd(tickets, 1u) : 0;
}

static __device__ __forceinline__ int64_t hopper_next(int64_t total, unsigned drawn, unsigned (&ticket)[2], int turn)
{
	/* two of them: who is slow reads the one before still */
	if (threadIdx.x == 0)
		ticket[turn % 2] = drawn;
	group_sync(COPIERS, 128);
	return total - 1 - gridDim.x - ticket[turn % 2];
}

/* The request of unit u: on from the nth in `order`, `low` units before which u was not below. */
template <int THREADS, typename F>
static __device__ __forceinline__ int hopper_find(int64_t u, F units, const short *order, int64_t &low, int &nth)
{
	while (u < low)
		low -= units(hopper_nth<THREADS>(order, --nth));
	return hopper_nth<THREADS>(order, nth);
}

/* For those who wait for the next unit, and have read the last: there are no others. each: all threads are waited for. */
static __device__ __forceinline__ void hopper_end(struct hopper_unit *told, uint32_t qfull, bool each)
{
	if (threadIdx.x == 0) {
		told->tiles = -1;
		bar_arrive(qfull);
	}
	if (each)
		bar_arrive(qfull);
}

/* The last block leaves the tickets as they were; no copy outlasts its warpgroup. */
static __device__ __forceinline__ void hopper_done(unsigned *tickets)
{
	copy_commit();
	copy_wait<0>();
	if (threadIdx.x == 0 && atomicAdd(tickets + 1, 1u) == gridDim.x - 1)
		tickets[0] = tickets[1] = 0;
}

/*
 * Rows of a cache that lie anywhere, one a lane, -1: none. Mostly they were given out one after another: whether those of this
 * lane's half of the warp were, so that they are one box.
 */
static __device__ __forceinline__ bool hopper_together(int row)
{
	int lane = threadIdx.x % 32, first = __shfl_sync(~0u, row, lane & TOGETHER);
	unsigned yes = __ballot_sync(~0u, row >= 0 && row == first + lane % TOGETHER);

	return (yes >> (lane & TOGETHER) & 0xffff) == 0xffff;
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
 * lanes that have it. CUT: those from column `limit` on are masked, in d too, and those before `begin` if there is a window.
 */
template <int N, bool CUT>
static __device__ __forceinline__ float wg_row_max(float *d, int h, int begin, int limit, float was)
{
	float top[4] = { was, was, was, was };
	int lane = threadIdx.x % 32;	/* signed: so is limit */

	#pragma unroll
	for (int n = 0; n < N; n++)
		#pragma unroll
		for (int e = 0; e < 2; e++) {
			float &x = d[n * 4 + h * 2 + e], &best = top[n % 2 * 2 + e];
			int column = n * 8 + lane % 4 * 2 + e;

			if (CUT && (column >= limit || (attend_window && column < begin)))
				x = -INFINITY;
			best = fmaxf(best, x);
		}
	return quad_max(fmaxf(fmaxf(top[0], top[1]), fmaxf(top[2], top[3])));
}

#endif
