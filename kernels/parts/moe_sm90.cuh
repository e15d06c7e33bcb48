/*
 * moe_sm90.cuh - the products of moe_fp8.cuh on Hopper by wgmma, for experts that have many tokens.
 *
 * The first is one of float8 with both factors from shared memory. The tensor cores sum 128 numbers along K; what is more is
 * summed in float32, scaled. A unit is 128 of an expert's tokens, and 64 rows of its weights' upper half with the 64 of
 * the lower that belong to them: so a thread has what silu(gate) up takes.
 *
 * The second has weights of float8 and 16-bit floats that the first made. Weights are the left factor, which may come from
 * registers: they are widened there (exactly). A unit is 128 rows of weights and 128 tokens. Rows are added to their
 * tokens' sums by the copying engine (TMA), which also fetches what is not scattered.
 *
 * Blocks stay; one warpgroup copies, already of the next unit, two multiply.
 */
#pragma once

#include "hopper.cuh"

struct moe_hopper {
	static constexpr int rows = 128, threads = 384, tile = 128 * 128;	/* a tile of 128 by 128 float8 */
	static constexpr int stages = 6, stage = 2 * tile, smem = stages * stage + 1024;
	/* the second's: tokens, weights and the tokens' scales; sums before they go out, in rows that no two of which share banks */
	static constexpr int stages2 = 3, stage2 = 3 * tile + rows * 8, row2 = 132 * 4;
	static constexpr int smem2 = stages2 * stage2 + rows * row2 + 1024;
};

/* For tile_copy(). */
struct moe_boxes {
	CUtensorMap w1, w2, mid;
};

/*
 * Where number k of 16 of mid lies for the second product: four neighbours of float8 are a thread's, and as the instruction has
 * it these are two and two, 8 apart.
 */
static __device__ __forceinline__ int moe_place16(int k)
{
	return k & ~15 | k / 2 % 2 * 8 | k / 4 % 4 * 2 | k % 2;
}

static __global__ void __launch_bounds__(moe_hopper::threads, 1)
moe_first(moe_args a, const __grid_constant__ moe_boxes maps)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
	using S = moe_shape;
	using P = moe_hopper;
	constexpr int steps = S::H / 128, across = S::I / 64;
	extern __shared__ char raw[];
	using R = hopper_ring<P::stages, P::stage>;
	__shared__ __align__(8) uint64_t bars[R::BARRIERS];
	int group = __shfl_sync(~0u, threadIdx.x / 128, 0), lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
	int units = *a.ntiles * across, n = 0;		/* steps so far */
	R ring = { (smem_at(raw) + 1023) & ~1023u, smem_at(bars) };
	/* the token of a row of a unit; -1: it has none */
	auto token = [&](int u, int r) {
		int i = u < units ? a.tile_first[u / across] + r : 0;

		return u < units && i < a.tile_end[u / across] ? a.slot[i] : -1;
	};

	ring.init(129, 8);
	proxy_fence();
	__syncthreads();
	if (group == 0) {
		registers_give<56>();
		int r0 = threadIdx.x / 8, c = threadIdx.x % 8, row[8], soon[8];

		for (int i = 0; i < 8; i++)
			soon[i] = token(blockIdx.x, r0 + i * 16);
		for (int u = blockIdx.x; u < units; u += gridDim.x) {
			int w = a.tile_expert[u / across] * 2 * S::I + u % across * 64;

			#pragma unroll
			for (int i = 0; i < 8; i++) {
				row[i] = soon[i];
				soon[i] = token(u + gridDim.x, r0 + i * 16);
			}
			for (int k = 0; k < steps; k++, n++) {
				uint32_t to = ring.at(n) + r0 * 128 + ((c ^ r0) & 7) * 16;

				bar_wait(ring.empty(n), ring.phase(n) ^ 1);
				if (threadIdx.x == 0) {
					bar_expect(ring.full(n), P::tile);
					tile_copy(ring.at(n) + P::tile, maps.w1, k * 64, 0, w, 0, ring.full(n));
					tile_copy(ring.at(n) + P::tile * 3 / 2, maps.w1, k * 64, 0, w + S::I, 0, ring.full(n));
				}
				#pragma unroll
				for (int i = 0; i < 8; i++)
					copy16(to + i * 2048, a.x + (int64_t)max(row[i], 0) * S::H + k * 128 + c * 16, row[i] >= 0);
				bar_arrive_copied(ring.full(n));
			}
		}
		copy_commit();
		copy_wait<0>();
		return;
	}
	registers_take<224>();
	int mine = (group - 1) * 64 + warp * 16 + lane / 4, row[2], soon[2];

	for (int h = 0; h < 2; h++)
		soon[h] = token(blockIdx.x, mine + h * 8);
	for (int u = blockIdx.x; u < units; u += gridDim.x) {
		int e = a.tile_expert[u / across], first = a.tile_first[u / across];
		int up = u % across * 64 / 128, gate = (u % across * 64 + S::I) / 128;
		const float *ws = a.ws1 + (int64_t)e * (2 * S::I / 128) * steps;
		float acc[64] = {}, part[64], x[2], us, gs;

		for (int h = 0; h < 2; h++) {
			row[h] = soon[h];
			soon[h] = token(u + gridDim.x, mine + h * 8);
		}
		for (int k = 0; k < steps; k++, n++) {
			#pragma unroll
			for (int h = 0; h < 2; h++)
				x[h] = row[h] < 0 ? 0 : a.xs[(int64_t)k * a.tokens + row[h]];
			us = ws[up * steps + k];
			gs = ws[gate * steps + k];
			bar_wait(ring.full(n), ring.phase(n));
			wg_fence();
			#pragma unroll
			for (int i = 0; i < 4; i++)
				wg_e4m3(part, wg_matrix(ring.at(n) + (group - 1) * 8192 + i * 32, 16),
					wg_matrix(ring.at(n) + P::tile + i * 32, 16), i > 0);
			wg_commit();
			wg_wait<0>();
			wg_hold<64>(part);
			bar_arrive_if(ring.empty(n), lane == 0);
			#pragma unroll
			for (int i = 0; i < 64; i++)
				acc[i] += x[i / 2 % 2] * (i < 32 ? us : gs) * part[i];
		}
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			float v[16], top = 0;
			int power;

			#pragma unroll
			for (int i = 0; i < 16; i++) {
				int at = i / 2 * 4 + h * 2 + i % 2;
				float y = acc[32 + at];

				v[i] = y / (1 + expf(-y)) * acc[at];
				top = fmaxf(top, fabsf(v[i]));
			}
			frexpf(quad_max(top), &power);
			power -= 14;
			if (row[h] < 0)
				continue;
			ob_float16 *to = a.mid + (int64_t)(first + mine + h * 8) * S::I + u % across * 64;

			#pragma unroll
			for (int n = 0; n < 8; n++)
				*(uint32_t *)(to + moe_place16(n * 8 + lane % 4 * 2)) =
					pack2<ob_float16>(ldexpf(v[n * 2], -power), ldexpf(v[n * 2 + 1], -power));
			if (lane % 4 == 0)
				a.mids[(int64_t)(first + mine + h * 8) * (S::I / 64) + u % across] = ldexpf(1, power);
		}
	}
#endif
}

static __global__ void __launch_bounds__(moe_hopper::threads, 1)
moe_second(moe_args a, const __grid_constant__ moe_boxes maps)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
	using S = moe_shape;
	using P = moe_hopper;
	enum { MULTIPLIERS = 1 };	/* named barrier */
	constexpr int steps = S::I / 128, across = S::H / 128;
	extern __shared__ char raw[];
	using R = hopper_ring<P::stages2, P::stage2>;
	__shared__ __align__(8) uint64_t bars[R::BARRIERS];
	__shared__ float weights[2][P::rows];
	int group = __shfl_sync(~0u, threadIdx.x / 128, 0), lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
	int units = *a.ntiles * across, n = 0;		/* steps so far */
	R ring = { (smem_at(raw) + 1023) & ~1023u, smem_at(bars) };

	ring.init(129, 256);
	proxy_fence();
	__syncthreads();
	if (group == 0) {
		registers_give<40>();
		for (int u = blockIdx.x; u < units; u += gridDim.x) {
			int e = a.tile_expert[u / across], first = a.tile_first[u / across];
			/* rows of others are multiplied too, and go nowhere */
			const float *scale = a.mids + (int64_t)min(first + (int)threadIdx.x, a.tokens * S::TOP - 1) * (S::I / 64);

			for (int k = 0; k < steps; k++, n++) {
				bar_wait(ring.empty(n), ring.phase(n) ^ 1);
				if (threadIdx.x == 0) {
					bar_expect(ring.full(n), 3 * P::tile);
					tile_copy(ring.at(n), maps.mid, k * 128, 0, first, 0, ring.full(n));
					tile_copy(ring.at(n) + P::tile, maps.mid, k * 128 + 64, 0, first, 0, ring.full(n));
					tile_copy(ring.at(n) + 2 * P::tile, maps.w2, k * 64, 0, e * S::H + u % across * 128, 0, ring.full(n));
				}
				copy8(ring.at(n) + 3 * P::tile + threadIdx.x * 8, scale + k * 2);
				bar_arrive_copied(ring.full(n));
			}
		}
		copy_commit();
		copy_wait<0>();
		return;
	}
	registers_take<232>();
	int half = group - 1, row = half * 64 + warp * 16 + lane / 4;	/* of weights, and 8 more */
	int thread = threadIdx.x - 128, odd = 0;
	uint32_t out = ring.base + P::stages2 * P::stage2;

	for (int u = blockIdx.x; u < units; u += gridDim.x, odd ^= 1) {
		int e = a.tile_expert[u / across], first = a.tile_first[u / across], m = a.tile_end[u / across] - first;
		const float *ws = a.ws2 + ((int64_t)e * across + u % across) * steps;
		float acc[64] = {}, part[64], by = ws[0];

		/* who is slow may still read those before */
		if (thread < P::rows)
			weights[odd][thread] = thread < m ? a.listed[first + thread] : 0;

		for (int k = 0; k < steps; k++, n++) {
			float soon = ws[min(k + 1, steps - 1)];

			bar_wait(ring.full(n), ring.phase(n));
			#pragma unroll
			for (int j = 0; j < 2; j++) {
				uint32_t f[16];

				#pragma unroll
				for (int i = 0; i < 2; i++) {
					uint32_t w[4];
					int r = half * 64 + warp * 16 + lane % 16, c = j * 4 + i * 2 + lane / 16;

					ldm4(w, ring.at(n) + 2 * P::tile + r * 128 + ((c ^ r) & 7) * 16);
					#pragma unroll
					for (int x = 0; x < 4; x++)
						fp8_wide(w[x], f + i * 8 + x / 2 * 4 + x % 2, f + i * 8 + x / 2 * 4 + x % 2 + 2);
				}
				wg_fence();
				#pragma unroll
				for (int i = 0; i < 4; i++)
					wg_f16(part, f + i * 4, wg_matrix(ring.at(n) + j * P::tile + i * 32, 16), i > 0);
				wg_commit();
				wg_wait<0>();
				wg_hold<64>(part);
				#pragma unroll
				for (int i = 0; i < 16; i++) {
					/* of two tokens, each half's */
					uint4 v = load_shared(ring.at(n) + 3 * P::tile + (i * 8 + lane % 4 * 2) * 8);
					float x = __uint_as_float(j ? v.y : v.x) * by, y = __uint_as_float(j ? v.w : v.z) * by;

					#pragma unroll
					for (int h = 0; h < 2; h++) {
						acc[i * 4 + h * 2] += x * part[i * 4 + h * 2];
						acc[i * 4 + h * 2 + 1] += y * part[i * 4 + h * 2 + 1];
					}
				}
			}
			bar_arrive(ring.empty(n));
			by = soon;
		}
		/* the sums before have been read */
		rows_wait();
		group_sync(MULTIPLIERS, 256);
		#pragma unroll
		for (int i = 0; i < 32; i++) {
			int token = i / 2 * 8 + lane % 4 * 2 + i % 2;
			float weight = weights[odd][token];

			#pragma unroll
			for (int h = 0; h < 2; h++)
				store_shared(out + token * P::row2 + (row + h * 8) * 4, weight * acc[i / 2 * 4 + h * 2 + i % 2]);
		}
		proxy_fence();
		group_sync(MULTIPLIERS, 256);
		if (thread < m)
			row_add(a.sum + (int64_t)a.slot[first + thread] * S::H + u % across * 128, out + thread * P::row2, 512);
		rows_commit();
	}
	rows_wait();
#endif
}
