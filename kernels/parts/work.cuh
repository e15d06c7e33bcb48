/*
 * work.cuh - which part of a ragged batch a block works on, found on the device.
 *
 * Lengths are known to the device only (indptr tensors), and a call may be replayed in a
 * CUDA graph: so every block sums the batch's units itself, which for some
 * hundred requests costs less than another launch.
 */
#pragma once

#include "cuda.cuh"

struct run {
	int64_t total, grid;		/* units, blocks that have any */
	int64_t from, to;		/* of this block; from == to: none */
	int b;				/* the request of the first unit */
	int64_t before;			/* its units that come before it */
};

/*
 * Cuts the units of n requests, units(b) each, into equal runs of neighbours, one for each
 * of `blocks` blocks, at least one unit a run; what this block has, to every
 * thread. THREADS in the block, all of them here.
 */
template <int THREADS, typename F>
static __device__ struct run units_run(int n, F units, int64_t block, int64_t blocks)
{
	constexpr int WARPS = THREADS / 32;
	__shared__ int64_t warps[WARPS], found_before;
	__shared__ int found;
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	int each = (n + THREADS - 1) / THREADS, first = threadIdx.x * each;
	int64_t sum = 0, low;
	struct run r;

	for (int i = first; i < first + each && i < n; i++)
		sum += units(i);
	low = sum;
	for (int o = 1; o < 32; o *= 2) {
		int64_t v = __shfl_up_sync(~0u, low, o);

		low += lane >= o ? v : 0;
	}
	if (lane == 31)
		warps[warp] = low;
	__syncthreads();
	low -= sum;
	r.total = 0;
	#pragma unroll
	for (int i = 0; i < WARPS; i++) {
		low += i < warp ? warps[i] : 0;
		r.total += warps[i];
	}
	r.grid = r.total < blocks ? r.total : blocks;
	r.from = r.to = 0;
	if (block >= r.grid)
		return r;
	r.from = block * r.total / r.grid;
	r.to = (block + 1) * r.total / r.grid;
	if (r.from >= low && r.from < low + sum) {
		int i = first;

		for (int64_t u = units(i); r.from >= low + u; u = units(i)) {
			low += u;
			i++;
		}
		found = i;
		found_before = r.from - low;
	}
	__syncthreads();
	r.b = found;
	r.before = found_before;
	return r;
}

/* The block that has a unit. */
static __device__ __forceinline__ int64_t units_block(const struct run &r, int64_t unit)
{
	return ((unit + 1) * r.grid - 1) / r.total;
}

/* Tokens of request b in pages of PS; last: of its last page, or NULL: it is full. */
template <int PS>
static __device__ __forceinline__ int paged_len(const int *indptr, const int *last, int b)
{
	int pages = indptr[b + 1] - indptr[b], of_last = last ? last[b] : PS;	/* loaded side by side */

	return pages <= 0 ? 0 : (pages - 1) * PS + of_last;
}

/* Where its token n is in the cache, in tokens. */
template <int PS>
static __device__ __forceinline__ int64_t paged_row(const int *indptr, const int *indices, int b, int n)
{
	return (int64_t)indices[indptr[b] + n / PS] * PS + n % PS;
}
