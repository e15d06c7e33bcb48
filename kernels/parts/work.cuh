/*
 * work.cuh - which part of a ragged batch a block works on, found on the device.
 *
 * Lengths are known to the device only (indptr tensors), and a call may be replayed in a
 * CUDA graph: so every block sums the batch's units itself, which for some
 * hundred requests costs less than another launch.
 */
#pragma once

#include "cuda.cuh"

/*
 * With units(b) of each of n requests: the sum of all, to every thread. THREADS in the block.
 */
template <int THREADS, typename F>
static __device__ int64_t units_total(int n, F units)
{
	__shared__ int64_t part[THREADS / 32];
	int64_t sum = 0;

	for (int b = threadIdx.x; b < n; b += THREADS)
		sum += units(b);
	for (int o = 16; o; o >>= 1)
		sum += __shfl_xor_sync(~0u, sum, o);
	__syncthreads();
	if (threadIdx.x % 32 == 0)
		part[threadIdx.x / 32] = sum;
	__syncthreads();
	sum = 0;
	for (int i = 0; i < THREADS / 32; i++)
		sum += part[i];
	return sum;
}

/*
 * The request that holds unit `at`, and how many of its units come before it. `at`
 * is less than the sum.
 */
template <int THREADS, typename F>
static __device__ void units_find(int n, F units, int64_t at, int *b, int64_t *before)
{
	__shared__ int64_t part[THREADS];
	__shared__ int found;
	__shared__ int64_t found_before;
	int each = (n + THREADS - 1) / THREADS, from = threadIdx.x * each;
	int64_t sum = 0;

	for (int i = from; i < from + each && i < n; i++)
		sum += units(i);
	__syncthreads();
	part[threadIdx.x] = sum;
	__syncthreads();
	for (int o = 1; o < THREADS; o *= 2) {
		int64_t v = (int)threadIdx.x >= o ? part[threadIdx.x - o] : 0;

		__syncthreads();
		part[threadIdx.x] += v;
		__syncthreads();
	}
	int64_t low = part[threadIdx.x] - sum;
	if (at >= low && at < low + sum) {
		int i = from;

		while (at >= low + units(i))
			low += units(i++);
		found = i;
		found_before = at - low;
	}
	__syncthreads();
	*b = found;
	*before = found_before;
}
