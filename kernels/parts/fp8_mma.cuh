/*
 * fp8_mma.cuh - products of float8 by mma, with a scale for each block of 128 along K; from sm_80 on.
 *
 * float8 is widened to 16 bits in registers (exactly); each block of 128 along K is summed on its own and then scaled, in
 * float32.
 *
 * Both factors are read in another order along K than the instruction names: thread t of four takes 16 neighbours, for
 * four steps. A sum does not mind.
 */
#pragma once

#include "cuda.cuh"

/* Four float8 of a word as two pairs of 16-bit floats. */
static __device__ __forceinline__ void fp8_wide(uint32_t w, uint32_t *lo, uint32_t *hi)
{
	__half2_raw a = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)(w & 0xffff), __NV_E4M3);
	__half2_raw b = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)(w >> 16), __NV_E4M3);

	*lo = *(uint32_t *)&a;
	*hi = *(uint32_t *)&b;
}

/*
 * Where number k of 64 of a left factor of 16 bits lies: so that ldmatrix gives a thread those that belong to its weights, 16
 * neighbours in float8.
 */
static __device__ __forceinline__ int fp8_place(int k)
{
	return k / 4 % 4 * 16 + k / 2 % 2 * 8 + k / 16 * 2 + k % 2;
}

/* BM rows by 128 rows of weights, for 128 threads. WIDE: those on the left have 16 bits, in the order of fp8_place(). */
template <int BM, bool WIDE> struct fp8_tile {
	static constexpr int BN = 128, stages = 3;
	static constexpr int row = WIDE ? 256 : 128;	/* bytes of a step */
	static constexpr int left = BM * row, stage = left + BN * 128, smem = stages * stage;
	static constexpr int MT = BM / 16, NT = 4;	/* of 16 rows, of 8 columns of a warp */
	static constexpr int PARTS = WIDE ? 2 : 1;	/* scales in a step, of rows on the left */
};

/* Where bytes of a row are, or there is no such row: zeros, and `at` any address. */
struct fp8_row {
	const char *at;
	bool there;
};

/*
 * acc = left right^T, K columns each. left_of(r), right_of(r): fp8_row of row r of the tile; scale_of(k, p, r): of row r, the
 * p-th part of the k-th 128 along K; weight_of(k): of this warp's 32 rows of weights.
 */
template <int BM, bool WIDE, int K, typename LEFT, typename RIGHT, typename SCALE, typename WEIGHT>
static __device__ __forceinline__ void fp8_product(char *smem, float (&acc)[BM / 16][4][4], LEFT left_of, RIGHT right_of,
						   SCALE scale_of, WEIGHT weight_of)
{
	using T = fp8_tile<BM, WIDE>;
	constexpr int steps = (K + 127) / 128, MT = T::MT, NT = T::NT, PARTS = T::PARTS;
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
	uint32_t base = smem_at(smem);

	static_assert(K % 16 == 0 && (!WIDE || K % 128 == 0), "whole 16 bytes of a row");
	auto copy = [&](int k, int st) {
		uint32_t to = base + st * T::stage;
		/* of the last 128, what there is */
		auto inside = [&](int c) { return K % 128 == 0 || k * 128 + c * 16 < K; };

		#pragma unroll
		for (int j = 0; j < BM * T::row / 2048; j++) {
			int i = threadIdx.x + j * 128, r = i / (T::row / 16), c = i % (T::row / 16);
			int at = WIDE ? (c & 8) | ((c ^ r) & 7) : c ^ (r & 1) * 4;
			struct fp8_row from = left_of(r);
			bool there = from.there && inside(c);

			copy16(to + r * T::row + at * 16, from.at + (inside(c) ? k * T::row + c * 16 : 0), there);
		}
		#pragma unroll
		for (int j = 0; j < T::BN / 16; j++) {
			int r = threadIdx.x / 8 + j * 16, c = threadIdx.x % 8;
			struct fp8_row from = right_of(r);
			bool there = from.there && inside(c);

			copy16(to + T::left + r * 128 + (c ^ (r & 1) * 4) * 16, from.at + (inside(c) ? k * 128 + c * 16 : 0), there);
		}
		copy_commit();
	};
	/* asked for early */
	float scale[PARTS][MT][2], ws, ws_soon = weight_of(0), part[MT][NT][4];
	auto scales = [&](int k, float (*to)[2], int p) {
		#pragma unroll
		for (int i = 0; i < MT; i++)
			#pragma unroll
			for (int h = 0; h < 2; h++)
				to[i][h] = scale_of(k, p, i * 16 + h * 8 + g);
	};

	#pragma unroll
	for (int i = 0; i < MT * NT * 4; i++)
		acc[i / NT / 4][i / 4 % NT][i % 4] = 0;
	#pragma unroll
	for (int p = 0; p < PARTS; p++)
		scales(0, scale[p], p);
	for (int k = 0; k < T::stages - 1; k++)
		if (k < steps)
			copy(k, k);
		else
			copy_commit();
	for (int k = 0; k < steps; k++) {
		const char *at = smem + k % T::stages * T::stage;

		copy_wait<T::stages - 2>();
		__syncthreads();
		if (k + T::stages - 1 < steps)
			copy(k + T::stages - 1, (k + T::stages - 1) % T::stages);
		else
			copy_commit();
		ws = ws_soon;
		ws_soon = weight_of(min(k + 1, steps - 1));
		#pragma unroll
		for (int half = 0; half < 2; half++) {
			uint4 wv[NT];

			if (half < PARTS)
				#pragma unroll
				for (int i = 0; i < MT * NT * 4; i++)
					part[i / NT / 4][i / 4 % NT][i % 4] = 0;

			#pragma unroll
			for (int n = 0; n < NT; n++) {
				int r = warp * 32 + n * 8 + g;

				wv[n] = *(const uint4 *)(at + T::left + r * 128 + (half * 4 + t ^ (r & 1) * 4) * 16);
			}
			#pragma unroll
			for (int i = 0; i < MT; i++) {
				uint4 av[2];

				if (!WIDE)
					#pragma unroll
					for (int h = 0; h < 2; h++) {
						int r = i * 16 + h * 8 + g;

						av[h] = *(const uint4 *)(at + r * T::row + (half * 4 + t ^ (r & 1) * 4) * 16);
					}
				#pragma unroll
				for (int s = 0; s < 4; s++) {
					uint32_t f[4];

					if (!WIDE) {
						#pragma unroll
						for (int h = 0; h < 2; h++)
							fp8_wide(((const uint32_t *)&av[h])[s], &f[h], &f[h + 2]);
					} else {
						int r = i * 16 + lane % 16, c = half * 8 + s * 2 + lane / 16;

						ldm4(f, base + k % T::stages * T::stage + r * T::row + ((c & 8) | ((c ^ r) & 7)) * 16);
					}
					#pragma unroll
					for (int n = 0; n < NT; n++) {
						uint32_t b0, b1;

						fp8_wide(((const uint32_t *)&wv[n])[s], &b0, &b1);
						mma(part[i][n], f, b0, b1, ob_float16());
					}
				}
			}
			if (half + PARTS < 2)
				continue;
			#pragma unroll
			for (int i = 0; i < MT; i++)
				#pragma unroll
				for (int h = 0; h < 2; h++) {
					float by = scale[half % PARTS][i][h] * ws;

					#pragma unroll
					for (int n = 0; n < NT; n++) {
						acc[i][n][h * 2] += by * part[i][n][h * 2];
						acc[i][n][h * 2 + 1] += by * part[i][n][h * 2 + 1];
					}
				}
			scales(min(k + 1, steps - 1), scale[half % PARTS], half);
		}
	}
	copy_wait<0>();
	__syncthreads();
}
