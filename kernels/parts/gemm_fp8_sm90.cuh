/*
 * gemm_fp8_sm90.cuh - out = a b^T of float8 with a scale for each token and 128 along K and one for each 128 by 128 of the
 * weights, on Hopper by wgmma.
 *
 * Both factors come by TMA. The tensor cores sum 128 numbers along K; what is more is summed in float32, scaled. A block has
 * 64 tokens by 128 rows of weights, 128 by 128, or 128 by 256; tokens go through registers, so that shared memory is read
 * for them once. (Two blocks of a cluster that fetch half of the weights each, for both, were no faster.)
 *
 * Blocks stay, one on each multiprocessor; one thread copies, already of the next unit. So many units as all blocks have
 * alike are each one block's; the rest are cut along K, if there are blocks for it: sums go to scratch memory, and who
 * comes last adds them up, always in the same order. All units are cut at the same places, so that blocks read the same at
 * the same time: cut into equal runs of one length of all units (stream-K) most of it came from memory, not from the L2 cache.
 */
#pragma once

#include "hopper.cuh"

struct fp8_args {
	const float *as, *bs;	/* [m][K / 128], [N / 128][K / 128], rounded up */
	ob_bfloat16 *out;
	int m;
	int units, rest, pieces;	/* of all units the first `rest` are cut into so many */
	float *parts;		/* sums of each piece */
	unsigned *arrived;	/* of each unit that is cut, and warpgroup; zeros */
};

struct fp8_boxes {
	CUtensorMap a, b;
};

/* GROUPS warpgroups multiply 64 tokens each, by PARTS times 128 rows of weights. */
template <int GROUPS, int PARTS> struct fp8_hopper {
	static constexpr int groups = GROUPS, parts = PARTS;
	static constexpr int rows = 64 * GROUPS, columns = 128 * PARTS, threads = 128 * (GROUPS + 1);
	static constexpr int steps = (AX_K + 127) / 128, across = (AX_N + columns - 1) / columns;
	static constexpr int left = rows * 128, stage = left + columns * 128;
	static constexpr int out = GROUPS * 64 * 256;	/* sums, as they go out */
	static constexpr int stages = (227 * 1024 - 1024 - out) / stage, smem = stages * stage + out + 1024;
	static constexpr int sums = rows * columns;
	/* so many tokens follow one another before the next columns: what blocks read at a time is then near a square */
	static constexpr int high = 2048 / rows;
};

/* What a block does: a piece of a unit, if there is one for it; then whole ones. */
template <typename S> struct fp8_work {
	const fp8_args &a;
	int unit, piece, m, n, from, to;	/* its first token and column, its steps; piece below 0: it is whole */

	__device__ explicit fp8_work(const fp8_args &args) : a(args), unit(-1) { }
	__device__ bool next(void)
	{
		int block = blockIdx.x, tall = (a.m + S::rows - 1) / S::rows;

		if (unit < 0 && block < a.rest * a.pieces) {
			unit = block % a.rest;
			piece = block / a.rest;
		} else {
			unit = unit < a.rest ? a.rest + block : unit + gridDim.x;
			piece = -1;
		}
		if (unit >= a.units)
			return false;
		from = piece < 0 ? 0 : piece * S::steps / a.pieces;
		to = piece < 0 ? S::steps : (piece + 1) * S::steps / a.pieces;

		int band = unit / (S::high * S::across) * S::high, there = min(S::high, tall - band);
		int within = unit - band * S::across;

		m = (band + within % there) * S::rows;
		n = within / there * S::columns;
		return true;
	}
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/* N numbers of a row to where they belong, if it is there. */
template <int N> static __device__ __forceinline__ void fp8_store(const fp8_args &a, int row, int column, const ob_bfloat16 *v)
{
	ob_bfloat16 *to = a.out + (int64_t)row * AX_N + column;

	if (row >= a.m)
		return;
	if (AX_N % 8) {
		for (int i = 0; i < N && column + i < AX_N; i++)
			to[i] = v[i];
	} else if (column < AX_N) {
		if (N == 8)
			*(uint4 *)to = *(const uint4 *)v;
		else
			*(uint2 *)to = *(const uint2 *)v;
	}
}

/* A warpgroup's sums of a piece of a unit; if it is the last to come, it writes what they all are. */
template <typename S>
static __device__ __forceinline__ void fp8_share(const fp8_work<S> &w, int group, const float (&acc)[S::parts][64], unsigned *came)
{
	constexpr int rows = 64;
	int thread = threadIdx.x % 128, lane = thread % 32, there = w.a.m - w.m - group * rows;
	unsigned *arrived = w.a.arrived + w.unit * S::groups + group, others = w.a.pieces - 1;
	float *parts = w.a.parts + ((int64_t)w.unit * w.a.pieces * S::groups + group) * rows * S::columns;
	float *to = parts + (int64_t)w.piece * S::sums;

	#pragma unroll
	for (int i = 0; i < S::parts * 32; i++) {
		int row = thread / 32 * 16 + i % 2 * 8 + lane / 4;

		if (row < there)
			*(float2 *)(to + row * S::columns + i / 2 * 8 + lane % 4 * 2) = *(float2 *)(acc[i / 32] + i % 32 * 2);
	}
	__threadfence();
	group_sync(1 + group, 128);
	if (thread == 0) {
		came[group] = atomicAdd(arrived, 1u);
		if (came[group] == others)
			*arrived = 0;
	}
	group_sync(1 + group, 128);
	if (came[group] != others)
		return;
	__threadfence();
	/* so many at a time are on their way */
	constexpr int four = S::columns / 4, each = 8;

	static_assert(rows * four % (128 * each) == 0, "nobody reads beyond the sums");
	for (int i = thread; i < min(rows, there) * four; i += 128 * each) {
		float4 sum[each] = {};

		#pragma unroll 2
		for (int p = 0; p < w.a.pieces; p++) {
			const float4 *from = (const float4 *)(parts + (int64_t)p * S::sums) + i;

			#pragma unroll
			for (int k = 0; k < each; k++) {
				float4 v = i + k * 128 < there * four ? __ldcg(from + k * 128) : float4{};

				sum[k].x += v.x;
				sum[k].y += v.y;
				sum[k].z += v.z;
				sum[k].w += v.w;
			}
		}
		#pragma unroll
		for (int k = 0; k < each; k++) {
			int at = i + k * 128;
			uint2 v = { pack2<ob_bfloat16>(sum[k].x, sum[k].y), pack2<ob_bfloat16>(sum[k].z, sum[k].w) };

			fp8_store<4>(w.a, w.m + group * rows + at / four, w.n + at % four * 4, (const ob_bfloat16 *)&v);
		}
	}
}

#endif

template <typename S>
static __global__ void __launch_bounds__(S::threads, 1) fp8_kernel(fp8_args a, const __grid_constant__ fp8_boxes maps)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
	constexpr int GROUPS = S::groups, PARTS = S::parts;
	using R = hopper_ring<S::stages, S::stage>;
	extern __shared__ char raw[];
	__shared__ __align__(8) uint64_t bars[R::BARRIERS];
	__shared__ unsigned came[GROUPS];
	int group = __shfl_sync(~0u, threadIdx.x / 128, 0), lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32, n = 0;
	/* by way of another lane: or ptxas computes where shared memory is anew in each step */
	R ring = { __shfl_sync(~0u, (smem_at(raw) + 1023) & ~1023u, 0), __shfl_sync(~0u, smem_at(bars), 0) };
	fp8_work<S> w(a);

	ring.init(1, GROUPS * 4);
	proxy_fence();
	__syncthreads();
	if (group == 0) {
		registers_give<40>();
		while (threadIdx.x == 0 && w.next())
			for (int k = w.from; k < w.to; k++, n++) {
				bar_wait(ring.empty(n), ring.phase(n) ^ 1);
				bar_expect(ring.full(n), S::stage);
				tile_copy(ring.at(n), maps.a, k * 64, 0, w.m, 0, ring.full(n));
				tile_copy(ring.at(n) + S::left, maps.b, k * 64, 0, w.n, 0, ring.full(n));
			}
		return;
	}
	registers_take<232>();
	group--;
	/* this warp's first row of the unit; this thread's are that of a quad, and 8 below */
	int base = group * 64 + warp * 16, mine = base + lane / 4;
	uint32_t turned = ring.base + S::stages * S::stage + (group * 4 + warp) * 16 * 256;

	while (w.next()) {
		float acc[PARTS][64] = {}, part[64], x[2], soon[2], by[PARTS], by_soon[PARTS];
		auto scales = [&](int k) {
			#pragma unroll
			for (int h = 0; h < 2; h++) {
				int row = w.m + mine + h * 8;

				soon[h] = row < a.m ? a.as[(int64_t)row * S::steps + k] : 0;
			}
			#pragma unroll
			for (int p = 0; p < PARTS; p++)
				by_soon[p] = a.bs[min(w.n / 128 + p, (AX_N - 1) / 128) * S::steps + k];
		};

		scales(w.from);
		for (int k = w.from; k < w.to; k++, n++) {
			uint32_t f[4][4];

			#pragma unroll
			for (int h = 0; h < 2; h++)
				x[h] = soon[h];
			#pragma unroll
			for (int p = 0; p < PARTS; p++)
				by[p] = by_soon[p];
			scales(min(k + 1, w.to - 1));
			bar_wait(ring.full(n), ring.phase(n));
			#pragma unroll
			for (int i = 0; i < 4; i++)
				ldm4(f[i], ring.at(n) + (base + lane % 16) * 128 + ((i * 2 + lane / 16 ^ lane) & 7) * 16);
			#pragma unroll
			for (int p = 0; p < PARTS; p++) {
				uint64_t right = wg_matrix(ring.at(n) + S::left + p * 128 * 128, 16);

				wg_fence();
				/* 32 bytes on, in the units of a matrix' address */
				#pragma unroll
				for (int i = 0; i < 4; i++)
					wg_e4m3(part, f[i], right + i * 2, i > 0);
				wg_commit();
				wg_wait<0>();
				wg_hold<64>(part);
				if (p == PARTS - 1)
					bar_arrive_if(ring.empty(n), lane == 0);
				#pragma unroll
				for (int i = 0; i < 64; i++)
					acc[p][i] += x[i / 2 % 2] * by[p] * part[i];
			}
		}
		if (w.piece >= 0) {
			fp8_share(w, group, acc, came);
			continue;
		}
		#pragma unroll
		for (int p = 0; p < PARTS; p++) {
			#pragma unroll
			for (int i = 0; i < 16; i += 2) {
				const float *s = acc[p] + i * 4;

				stm4(turned + lane % 16 * 256 + ((i + lane / 16) ^ lane % 8) * 16, pack2<ob_bfloat16>(s[0], s[1]),
				     pack2<ob_bfloat16>(s[2], s[3]), pack2<ob_bfloat16>(s[4], s[5]), pack2<ob_bfloat16>(s[6], s[7]));
			}
			__syncwarp();
			#pragma unroll
			for (int r = lane / 16; r < 16; r += 2) {
				uint4 v = load_shared(turned + r * 256 + (lane % 16 ^ r % 8) * 16);

				fp8_store<8>(a, w.m + base + r, w.n + p * 128 + lane % 16 * 8, (const ob_bfloat16 *)&v);
			}
			__syncwarp();
		}
	}
#endif
}

/* Who does what, for so many tokens. */
template <typename S> static struct fp8_args fp8_shares(int m)
{
	enum { LEAST = 4 };	/* steps of a piece */
	struct fp8_args a = {};
	int blocks = sm_count();

	a.m = m;
	a.units = (m + S::rows - 1) / S::rows * S::across;
	a.rest = a.units % blocks;
	a.pieces = std::max(1, std::min(a.rest ? blocks / a.rest : 1, S::steps / LEAST));
	if (a.pieces == 1)
		a.rest = 0;
	return a;
}

/* What that takes on an H100 as measured, in 10 ns: steps when all blocks are busy, and sums that are shared. */
template <typename S> static int64_t fp8_cost(int m)
{
	constexpr int step = S::sums == 64 * 128 ? 50 : S::sums == 128 * 128 ? 60 : 95, shared = 300 * S::sums / (64 * 128);
	struct fp8_args a = fp8_shares<S>(m);
	int64_t waves = (a.units - a.rest + sm_count() - 1) / sm_count();

	return step * (waves * S::steps + (a.rest ? (S::steps + a.pieces - 1) / a.pieces : 0)) + (a.rest ? shared : 0);
}

/* Before the sums: counters, of units that are fewer than multiprocessors. */
enum { FP8_COUNTERS = 4096 };

template <typename S> static size_t fp8_scratch(int m)
{
	struct fp8_args a = fp8_shares<S>(m);

	return FP8_COUNTERS + (size_t)a.rest * a.pieces * S::sums * sizeof(float);
}

/* False: there is no wgmma here. */
template <typename S>
static bool fp8_hopper_run(const ob_float8_e4m3fn *x, const ob_float8_e4m3fn *w, const float *as, const float *bs,
			   ob_bfloat16 *out, int m, void *workspace, cudaStream_t stream)
{
	static int able = -1;
	struct fp8_args a = fp8_shares<S>(m);
	struct fp8_boxes maps = {};

	if (able < 0)
		able = hopper_able((const void *)fp8_kernel<S>, S::smem);
	/* bytes as half as many numbers of 16 bits */
	if (!able || !tile_map(&maps.a, x, 1, m, 1, AX_K / 2, 1, S::rows) ||
	    !tile_map(&maps.b, w, 1, AX_N, 1, AX_K / 2, 1, S::columns))
		return false;
	a.as = as;
	a.bs = bs;
	a.out = out;
	a.arrived = (unsigned *)workspace;
	a.parts = (float *)((char *)workspace + FP8_COUNTERS);
	int blocks = a.units < sm_count() ? std::max(a.units - a.rest, a.rest * a.pieces) : sm_count();

	fp8_kernel<S><<<(unsigned)blocks, S::threads, S::smem, stream>>>(a, maps);
	return true;
}
