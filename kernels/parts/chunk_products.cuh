/*
 * chunk_products.cuh - the matrix products of delta rules and of lightning attention, 64 tokens at a time, by mma or wgmma.
 */
#pragma once

#include "chunk_tile.cuh"
#include "hopper.cuh"

/*
 * Products of a chain of chunks, by mma; keys are K numbers, d and a are a warp's 16 rows in registers, tiles in shared memory.
 *	square		d[16][64] = a b^T, both tiles of K columns; what is above the diagonal may be 0
 *	fresh<STEPS>	d[16][64] = a b^T of 16 * STEPS numbers along K
 *	whole		the same of `both`, K numbers: accumulators as sums of two numbers of bf16 each
 *	lower, add	d[16][64] = and += a b^T, b a triangle of 64
 *	rows		d[16][K] += a b, the rows of b along K; a as it is or as such a sum
 *	turn		[16][8] to rows r .. r + 7 of a tile, pieces c and c + 1
 * They are under way (of wgmma) from begin(), which comes after all of their left sides, to commit() and wait<LEFT>(d): but for LEFT
 * groups all are done, d of 32 numbers with them. copied() comes between copies to shared memory and the barrier before begin().
 */
template <int K> struct chunk_mma {
	static constexpr bool able = true, hopper = false;
	static constexpr int stages = 2;	/* of shared memory, what sm_80 has */
	static __device__ __forceinline__ void zero(float *d)
	{
		#pragma unroll
		for (int i = 0; i < 32; i++)
			d[i] = 0;
	}
	/* += of 16 * STEPS numbers along K; LOWER: b[t][j] is 0 for j > t */
	template <int STEPS, bool LOWER>
	static __device__ __forceinline__ void columns(float *d, const uint32_t *a, uint32_t tile)
	{
		int lane = threadIdx.x % 32;

		#pragma unroll
		for (int i = 0; i < STEPS; i++)
			#pragma unroll
			for (int n = LOWER ? i : 0; n < chunk_tile::C / 16; n++) {
				uint32_t f[4];

				ldm4(f, chunk_at(tile, n * 16 + lane % 8 + lane / 16 * 8, i * 2 + lane / 8 % 2));
				mma(d + n * 8, a + i * 4, f[0], f[1], ob_bfloat16());
				mma(d + n * 8 + 4, a + i * 4, f[2], f[3], ob_bfloat16());
			}
	}
	static __device__ __forceinline__ void square(float *d, uint32_t a, uint32_t b)
	{
		int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

		zero(d);
		#pragma unroll
		for (int i = 0; i < K / 16; i++) {
			uint32_t row[4], f[4];

			ldm4(row, chunk_at(a, warp * 16 + lane % 16, i * 2 + lane / 16));
			#pragma unroll
			for (int n = 0; n < chunk_tile::C / 16; n++)
				if (n <= warp) {
					ldm4(f, chunk_at(b, n * 16 + lane % 8 + lane / 16 * 8, i * 2 + lane / 8 % 2));
					mma(d + n * 8, row, f[0], f[1], ob_bfloat16());
					mma(d + n * 8 + 4, row, f[2], f[3], ob_bfloat16());
				}
		}
	}
	template <int STEPS>
	static __device__ __forceinline__ void fresh(float *d, const uint32_t *a, uint32_t tile)
	{
		zero(d);
		columns<STEPS, false>(d, a, tile);
	}
	struct both {
		const float *a;

		__device__ __forceinline__ both(const float *x) : a(x) { }
	};
	static __device__ __forceinline__ void whole(float *d, const struct both &left, uint32_t tile)
	{
		int lane = threadIdx.x % 32;

		zero(d);
		#pragma unroll
		for (int i = 0; i < K / 16; i++) {
			uint32_t high[4], rest[4], f[chunk_tile::C / 16][4];

			chunk_split<2>(high, rest, left.a + i * 8);
			#pragma unroll
			for (int n = 0; n < chunk_tile::C / 16; n++)
				ldm4(f[n], chunk_at(tile, n * 16 + lane % 8 + lane / 16 * 8, i * 2 + lane / 8 % 2));
			#pragma unroll
			for (int n = 0; n < chunk_tile::C / 8; n++)
				mma(d + n * 4, high, f[n / 2][n % 2 * 2], f[n / 2][n % 2 * 2 + 1], ob_bfloat16());
			#pragma unroll
			for (int n = 0; n < chunk_tile::C / 8; n++)
				mma(d + n * 4, rest, f[n / 2][n % 2 * 2], f[n / 2][n % 2 * 2 + 1], ob_bfloat16());
		}
	}
	static __device__ __forceinline__ void lower(float *d, const uint32_t *a, uint32_t tile)
	{
		zero(d);
		add(d, a, tile);
	}
	static __device__ __forceinline__ void add(float *d, const uint32_t *a, uint32_t tile)
	{
		columns<chunk_tile::C / 16, true>(d, a, tile);
	}
	static __device__ __forceinline__ void rows(float *d, const uint32_t *a, uint32_t tile)
	{
		int lane = threadIdx.x % 32;

		#pragma unroll
		for (int i = 0; i < chunk_tile::C / 16; i++)
			#pragma unroll
			for (int n = 0; n < K / 16; n++) {
				uint32_t f[4];

				ldm4t(f, chunk_at(tile, i * 16 + lane % 16, n * 2 + lane / 16));
				mma(d + n * 8, a + i * 4, f[0], f[1], ob_bfloat16());
				mma(d + n * 8 + 4, a + i * 4, f[2], f[3], ob_bfloat16());
			}
	}
	static __device__ __forceinline__ void rows(float *d, const uint32_t *high, const uint32_t *rest, uint32_t tile)
	{
		int lane = threadIdx.x % 32;

		#pragma unroll
		for (int i = 0; i < chunk_tile::C / 16; i++)
			#pragma unroll
			for (int n = 0; n < K / 16; n += 4) {
				uint32_t f[4][4];

				#pragma unroll
				for (int j = 0; j < 4; j++)
					ldm4t(f[j], chunk_at(tile, i * 16 + lane % 16, (n + j) * 2 + lane / 16));
				#pragma unroll
				for (int j = 0; j < 8; j++)
					mma(d + n * 8 + j * 4, high + i * 4, f[j / 2][j % 2 * 2], f[j / 2][j % 2 * 2 + 1], ob_bfloat16());
				#pragma unroll
				for (int j = 0; j < 8; j++)
					mma(d + n * 8 + j * 4, rest + i * 4, f[j / 2][j % 2 * 2], f[j / 2][j % 2 * 2 + 1], ob_bfloat16());
			}
	}
	static __device__ __forceinline__ void turn(char *tile, int r, int c, uint32_t lo, uint32_t hi)
	{
		int lane = threadIdx.x % 32;

		*(uint32_t *)(tile + chunk_at(0, r + lane / 4, c) + lane % 4 * 4) = transposed(lo);
		*(uint32_t *)(tile + chunk_at(0, r + lane / 4, c + 1) + lane % 4 * 4) = transposed(hi);
	}
	static __device__ __forceinline__ void copied() { }
	static __device__ __forceinline__ void begin() { }
	static __device__ __forceinline__ void commit() { }
	template <int LEFT> static __device__ __forceinline__ void wait(float *) { }
};

/* The same by wgmma: four warps share what they read from shared memory. */
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
template <int K> struct chunk_wgmma {
	static_assert(K == 128, "what wg_pv() has");
	static constexpr bool able = true, hopper = true;
	static constexpr int stages = 3;
	template <int STEPS>
	static __device__ __forceinline__ void columns(float *d, const uint32_t *a, uint32_t tile, bool more)
	{
		#pragma unroll
		for (int i = 0; i < STEPS; i++)
			wg_columns(d, a + i * 4, wg_matrix(tile + i / 4 * chunk_tile::panel + i % 4 * 32, 16), more || i > 0);
	}
	static __device__ __forceinline__ void square(float *d, uint32_t a, uint32_t b)
	{
		#pragma unroll
		for (int i = 0; i < K / 16; i++) {
			uint32_t at = i / 4 * chunk_tile::panel + i % 4 * 32;

			latent_qk(d, wg_matrix(a + at, 16), wg_matrix(b + at, 16), i > 0);
		}
	}
	template <int STEPS>
	static __device__ __forceinline__ void fresh(float *d, const uint32_t *a, uint32_t tile)
	{
		columns<STEPS>(d, a, tile, false);
	}
	struct both {
		uint32_t high[K / 4], rest[K / 4];

		__device__ __forceinline__ both(const float *a)
		{
			chunk_split<K / 8>(high, rest, a);
			wg_hold<K / 4>(high);
			wg_hold<K / 4>(rest);
		}
	};
	static __device__ __forceinline__ void whole(float *d, const struct both &left, uint32_t tile)
	{
		columns<K / 16>(d, left.high, tile, false);
		columns<K / 16>(d, left.rest, tile, true);
	}
	static __device__ __forceinline__ void lower(float *d, const uint32_t *a, uint32_t tile)
	{
		columns<chunk_tile::C / 16>(d, a, tile, false);
	}
	static __device__ __forceinline__ void add(float *d, const uint32_t *a, uint32_t tile)
	{
		columns<chunk_tile::C / 16>(d, a, tile, true);
	}
	static __device__ __forceinline__ void rows(float *d, const uint32_t *a, uint32_t tile)
	{
		#pragma unroll
		for (int i = 0; i < chunk_tile::C / 16; i++)
			wg_pv(d, a + i * 4, wg_matrix(tile + i * 2048, chunk_tile::panel), ob_bfloat16());
	}
	static __device__ __forceinline__ void rows(float *d, uint32_t *high, uint32_t *rest, uint32_t tile)
	{
		wg_hold<chunk_tile::C / 4>(high);
		wg_hold<chunk_tile::C / 4>(rest);
		begin();
		rows(d, high, tile);
		rows(d, rest, tile);
	}
	static __device__ __forceinline__ void turn(char *tile, int r, int c, uint32_t lo, uint32_t hi)
	{
		stm2t(smem_at(tile) + chunk_at(0, r + threadIdx.x % 8, c + threadIdx.x / 8 % 2), lo, hi);
	}
	static __device__ __forceinline__ void copied() { proxy_fence(); }
	static __device__ __forceinline__ void begin() { wg_fence(); }
	static __device__ __forceinline__ void commit() { wg_commit(); }
	template <int LEFT> static __device__ __forceinline__ void wait(float *d)
	{
		wg_wait<LEFT>();
		wg_hold<32>(d);
	}
};
#else
template <int K> struct chunk_wgmma : chunk_mma<K> {
	static constexpr bool able = false, hopper = true;
	static constexpr int stages = 3;
};
#endif

/* A warp's 16 columns of a tile as the left side of a product. */
static __device__ __forceinline__ void chunk_columns(uint32_t *to, uint32_t tile)
{
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

	#pragma unroll
	for (int n = 0; n < chunk_tile::C / 16; n++)
		ldm4t(to + n * 4, chunk_at(tile, n * 16 + lane / 16 * 8 + lane % 8, warp * 2 + lane / 8 % 2));
}

/* A warp's outputs [16][64], by scale, to its columns of a tile. */
template <typename E>
static __device__ __forceinline__ void chunk_turn(char *tile, const float *o, float scale)
{
	#pragma unroll
	for (int n = 0; n < chunk_tile::C / 8; n++)
		E::turn(tile, n * 8, threadIdx.x / 32 * 2, pack2<ob_bfloat16>(o[n * 4] * scale, o[n * 4 + 1] * scale),
			pack2<ob_bfloat16>(o[n * 4 + 2] * scale, o[n * 4 + 3] * scale));
	__syncwarp();
}

/* And on to the first rows of memory, `stride` from row to row. */
static __device__ __forceinline__ void chunk_leave(ob_bfloat16 *rows, int64_t stride, int count, const char *tile)
{
	int lane = threadIdx.x % 32, c = threadIdx.x / 32 * 2 + lane % 2;

	#pragma unroll
	for (int i = 0; i < chunk_tile::C / 16; i++) {
		int t = i * 16 + lane / 2;
		uint4 y = *(const uint4 *)(tile + chunk_at(0, t, c));

		if (t < count)
			*(uint4 *)(rows + t * stride + c * 8) = y;
	}
	__syncwarp();
}

/* Whether a kernel runs here whose products are E's. */
template <typename E>
static bool chunk_able(const void *kernel, int smem)
{
	bool able = E::hopper ? hopper_able(kernel, smem) :
		!cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, smem);

	cudaGetLastError();
	return able;
}
