/*
 * chunk_inverse.cuh - the inverse of a chunk's triangle I + A, A below the diagonal, in fp32 in shared memory (products of it
 * tf32), by a block of 128 threads.
 */
#pragma once

#include "chunk_tile.cuh"

/* d[16][8] += a b of fp32 in shared memory, 8 * STEPS numbers along K, rows of W numbers. */
template <int STEPS, int W>
static __device__ __forceinline__ void mma_shared(float d[4], const float *a, const float *b)
{
	int row = threadIdx.x % 32 / 4, col = threadIdx.x % 4;

	#pragma unroll
	for (int i = 0; i < STEPS; i++) {
		const float *x = a + row * W + i * 8 + col, *y = b + (i * 8 + col) * W + row;
		float f[4] = { x[0], x[8 * W], x[4], x[8 * W + 4] };

		mma_tf32(d, f, y[0], y[4 * W]);
	}
}

template <int W> static __device__ __forceinline__ void put_shared(float *to, const float d[4], float by)
{
	to += threadIdx.x % 32 / 4 * W + threadIdx.x % 4 * 2;
	*(float2 *)to = make_float2(by * d[0], by * d[1]);
	*(float2 *)(to + 8 * W) = make_float2(by * d[2], by * d[3]);
}

/*
 * N rows and columns of a triangle's inverse, both halves on its diagonal being there: what is below them is
 * - T22 (A21 T11), of which this warp has eight columns. The product in brackets waits in `a`, above the diagonal.
 */
template <int N, int W>
static __device__ __forceinline__ void invert_below(float *inv, float *a, int first)
{
	constexpr int H = N / 2;
	float d[H / 16][4] = {};

	#pragma unroll
	for (int i = 0; i < H / 16; i++) {
		mma_shared<H / 8, W>(d[i], a + (H + i * 16) * W, inv + first);
		put_shared<W>(a + i * 16 * W + H + first, d[i], 1);
	}
	__syncwarp();
	#pragma unroll
	for (int i = 0; i < H / 16; i++) {
		float e[4] = {};

		mma_shared<H / 8, W>(e, inv + (H + i * 16) * W + H, a + H + first);
		put_shared<W>(inv + (H + i * 16) * W + first, e, -1);
	}
}

/* Rows of W numbers. `a` is used up; `inv` has no upper half of 32. */
template <int W>
static __device__ __forceinline__ void chunk_invert(float *inv, float *a)
{
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32, first = warp * 16, col = first + lane % 16;
	float y[16];

	/* 16 rows and columns on the diagonal by substitution, a column a lane, */
	#pragma unroll
	for (int t = 0; t < 16; t++) {
		float part[2] = { t == lane ? 1.f : 0.f, 0 };

		#pragma unroll
		for (int j = 0; j < t; j += 4) {
			float4 row = *(float4 *)(a + (first + t) * W + first + j);

			part[0] -= row.x * y[j];
			part[1] -= j + 1 < t ? row.y * y[j + 1] : 0;
			part[0] -= j + 2 < t ? row.z * y[j + 2] : 0;
			part[1] -= j + 3 < t ? row.w * y[j + 3] : 0;
		}
		y[t] = part[0] + part[1];
	}
	__syncthreads();
	/* (the other lanes have zeros, which belong beside it) */
	float *column = inv + (lane < 16 ? first * W + col : (first & ~16) * W + (col | 16));
	if (lane < 16 || warp % 2 == 0)
		#pragma unroll
		for (int t = 0; t < 16; t++)
			column[t * W] = y[t];
	__syncthreads();
	/* 32, 64 from them */
	invert_below<32, W>(inv + warp / 2 * 32 * (W + 1), a + warp / 2 * 32 * (W + 1), warp % 2 * 8);
	__syncthreads();
	invert_below<64, W>(inv, a, warp * 8);
	__syncthreads();
}

/* To an image, as a tile of bf16. */
template <int W>
static __device__ __forceinline__ void chunk_put_inverse(char *image, const float *inv)
{
	#pragma unroll
	for (int i = threadIdx.x; i < chunk_tile::panel / 16; i += 128) {
		int r = i / 8, c = (i ^ r) % 8 * 8;
		float4 lo = *(float4 *)(inv + r * W + c), hi = *(float4 *)(inv + r * W + c + 4);
		bool there = r >= 32 || c < 32;

		*(uint4 *)(image + i * 16) = there ? make_uint4(pack2<ob_bfloat16>(lo.x, lo.y), pack2<ob_bfloat16>(lo.z, lo.w),
			pack2<ob_bfloat16>(hi.x, hi.y), pack2<ob_bfloat16>(hi.z, hi.w)) : make_uint4(0, 0, 0, 0);
	}
}
