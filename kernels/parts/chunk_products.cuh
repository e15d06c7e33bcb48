/*
 * chunk_products.cuh - the matrix products of delta rules, 64 tokens at a time, by mma or wgmma.
 */
#pragma once

#include "chunk_tile.cuh"
#include "hopper.cuh"

/*
 * Products of a chain of chunks, by mma; keys are K numbers, d and a are a warp's 16 rows in registers, tiles in shared memory.
 *	fresh<STEPS>	d = a b^T of 16 * STEPS numbers along K
 *	lower, add	d = and d += a b^T, b being T and M, triangles of 64
 *	rows		d[16][K] += a b, the rows of b along K
 *	turn		[16][8] to rows r .. r + 7 of a tile, pieces c and c + 1
 */
template <int K> struct chunk_mma {
	static constexpr bool able = true;
	static constexpr int stages = 2;	/* of shared memory, what sm_80 has */
	template <int STEPS>
	static __device__ __forceinline__ void fresh(float *d, const uint32_t *a, uint32_t tile)
	{
		#pragma unroll
		for (int i = 0; i < 32; i++)
			d[i] = 0;
		mma_columns<STEPS, false>(d, a, tile);
	}
	static __device__ __forceinline__ void lower(float *d, const uint32_t *a, uint32_t tile)
	{
		#pragma unroll
		for (int i = 0; i < 32; i++)
			d[i] = 0;
		add(d, a, tile);
	}
	static __device__ __forceinline__ void add(float *d, const uint32_t *a, uint32_t tile)
	{
		mma_columns<chunk_tile::C / 16, true>(d, a, tile);
	}
	static __device__ __forceinline__ void rows(float *d, const uint32_t *a, uint32_t tile)
	{
		mma_rows<K / 16>(d, a, tile);
	}
	static __device__ __forceinline__ void turn(char *tile, int r, int c, uint32_t lo, uint32_t hi)
	{
		chunk_turn(tile, r, c, lo, hi);
	}
	static __device__ __forceinline__ void copied() { }	/* what this thread copied is for others, after a barrier */
	static __device__ __forceinline__ void begin() { }
	static __device__ __forceinline__ void commit() { }
	template <int LEFT> static __device__ __forceinline__ void wait(float *) { }
};

/* The same by wgmma: four warps share what they read from shared memory. */
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
template <int K> struct chunk_wgmma {
	static_assert(K == 128, "what wg_pv() has");
	static constexpr bool able = true;
	static constexpr int stages = 3;
	template <int STEPS>
	static __device__ __forceinline__ void columns(float *d, const uint32_t *a, uint32_t tile, bool more)
	{
		#pragma unroll
		for (int i = 0; i < STEPS; i++)
			wg_columns(d, a + i * 4, wg_matrix(tile + i / 4 * chunk_tile::panel + i % 4 * 32, 16), more || i > 0);
	}
	template <int STEPS>
	static __device__ __forceinline__ void fresh(float *d, const uint32_t *a, uint32_t tile)
	{
		columns<STEPS>(d, a, tile, false);
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
	static constexpr bool able = false;
	static constexpr int stages = 3;
};
#endif
