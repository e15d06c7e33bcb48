/*
 * chunk_tile.cuh - attention without a softmax, 64 tokens at a time: tiles of them in shared memory and products with a
 * warp's 16 rows, that stay in registers.
 *
 * Tiles lie in panels of 64 columns, 128 bytes a row, in the 128-byte swizzle: piece c of 16 bytes of row r is at c ^ (r % 8).
 */
#pragma once

#include "cuda.cuh"

struct chunk_tile {
	static constexpr int C = 64, panel = C * 128;	/* tokens, bytes */
};

/* Chunks of a sequence are neighbours among the images; its first. There are at most images_most() of all. */
static __device__ __forceinline__ int64_t chunk_first(const int64_t *cu, int64_t seq)
{
	return cu[seq] / chunk_tile::C + seq;
}

/* The sequence of an image: the last whose first chunk is not behind it. */
static __device__ __forceinline__ int chunk_sequence(const int64_t *cu, int seqs, int64_t slot)
{
	int low = 0, high = seqs - 1;

	while (low < high) {
		int mid = (low + high + 1) / 2;

		if (chunk_first(cu, mid) <= slot)
			low = mid;
		else
			high = mid - 1;
	}
	return low;
}

static inline int64_t images_most(int64_t tokens, int64_t seqs)
{
	return tokens / chunk_tile::C + seqs;
}

static __device__ __forceinline__ uint32_t chunk_at(uint32_t tile, int r, int c)
{
	return tile + c / 8 * chunk_tile::panel + r * 128 + ((c ^ r) & 7) * 16;
}

/* The first rows of a tile, PIECES of 16 bytes each, by 128 threads; `stride` is from row to row. Zeros where there are no more. */
template <int PIECES>
static __device__ __forceinline__ void chunk_copy(uint32_t tile, int thread, const ob_bfloat16 *rows, int stride, int count)
{
	constexpr int step = 128 / PIECES;
	int r = thread / PIECES, c = thread % PIECES;
	uint32_t to = chunk_at(tile, r, c);

	rows += (int64_t)r * stride + c * 8;
	#pragma unroll
	for (int i = 0; i < chunk_tile::C / step; i++)
		copy16(to + i * step * 128, rows + i * step * stride, r + i * step < count);
}

/* Two numbers as bf16, and what is left of them. */
static __device__ __forceinline__ void split2(float x, float y, uint32_t &high, uint32_t &rest)
{
	__nv_bfloat162 h;

	high = pack2<ob_bfloat16>(x, y);
	h = *(__nv_bfloat162 *)&high;
	rest = pack2<ob_bfloat16>(x - to_float(h.x), y - to_float(h.y));
}

/* Numbers [16][8 * N] of accumulators as the left side of a product. */
template <int N>
static __device__ __forceinline__ void chunk_pack(uint32_t *to, const float *d)
{
	#pragma unroll
	for (int i = 0; i < N / 2; i++)
		#pragma unroll
		for (int j = 0; j < 4; j++)
			to[i * 4 + j] = pack2<ob_bfloat16>(d[i * 8 + j * 2], d[i * 8 + j * 2 + 1]);
}

/* The same as the sum of two numbers of bf16 each. */
template <int N>
static __device__ __forceinline__ void chunk_split(uint32_t *high, uint32_t *rest, const float *d)
{
	#pragma unroll
	for (int i = 0; i < N * 2; i++)
		split2(d[i * 2], d[i * 2 + 1], high[i], rest[i]);
}
