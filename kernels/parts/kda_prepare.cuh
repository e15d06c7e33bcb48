/*
 * kda_prepare.cuh - what of a chunk of 64 tokens does not depend on the state (kda_chunks.cuh says what it is for), for all
 * chunks and heads at once.
 *
 * Each element c of a key has a decay, G_tc of all tokens up to t. The logits of two tokens,
 *	A_tj = beta_t sum of c: (G_tc / G_jc) k_tc k_jc,  M_tj = sum of c: (G_tc / G_jc) q_tc k_jc,
 * are products of rows by G_t / R and of rows by R / G_j, with R between them, so that no factor is above 1: what there is
 * before 16 tokens of t. For tokens of the same 16 it is their eighth; factors may be above 1 then, and where one is too much
 * for a number, the sum is taken as it stands above.
 */
#pragma once

#include "chunk_inverse.cuh"
#include "kda.cuh"

struct kda_chunk : chunk_tile {
	static constexpr int K = kda_shape::K, V = kda_shape::V, HQ = kda_shape::HQ, HV = kda_shape::HV, threads = 128;
	static constexpr int k_bytes = C * K * 2, rows = 64;	/* of a head's state that a block has, 16 a warp */
	/* an image: T, M, q by G_t, k by G_t, k by G_64 / G_t, then 64 times beta_t, and G_64 */
	static constexpr int m_at = panel, q_at = 2 * panel, k_at = q_at + k_bytes, rest_at = k_at + k_bytes, f_at = rest_at + k_bytes;
	static constexpr int f_bytes = (C + K) * (int)sizeof(float), image = f_at + f_bytes;
	/* of shared memory: tiles of q and k, which M takes the place of; logarithms of G, by rows of W, or A and its inverse */
	static constexpr int W = K + 8, A = C + 4, g_at = 2 * k_bytes, g_bytes = C * W * 4, a_bytes = 2 * C * A * 4;
	static constexpr int smem = g_at + (g_bytes > a_bytes ? g_bytes : a_bytes);
	static constexpr float far = 120;	/* a power of two that is too much */
};

/* Two numbers of bf16 by powers of two. */
static __device__ __forceinline__ uint32_t kda_scaled(uint32_t two, float2 by)
{
	__nv_bfloat162 x = *(__nv_bfloat162 *)&two;

	return pack2<ob_bfloat16>(to_float(x.x) * ex2(by.x), to_float(x.y) * ex2(by.y));
}

static __device__ __forceinline__ float2 kda_minus(float2 a, float2 b)
{
	return make_float2(a.x - b.x, a.y - b.y);
}

/* Eight numbers of shared or global memory, 16 bytes at a time. */
static __device__ __forceinline__ void copy_eight(float *to, const float *from)
{
	*(float4 *)to = *(const float4 *)from;
	*(float4 *)(to + 4) = *(const float4 *)(from + 4);
}

/* k k^T and q k^T with decays, 16 rows of each a warp, up to the diagonal (that without beside it). */
template <int WARP>
static __device__ __forceinline__ void kda_products(float *kk, float *qk, uint32_t qs, uint32_t ks, const float *g)
{
	using S = kda_chunk;
	int lane = threadIdx.x % 32, row = lane / 4, pair = lane % 4 * 2;

	#pragma unroll 1
	for (int i = 0; i < S::K / 16; i++) {
		uint32_t k[4], q[4], k_near[4], q_near[4];
		float2 before[2], near[2];	/* R of the columns, and of those 8 behind */

		ldm4(k, chunk_at(ks, WARP * 16 + lane % 16, i * 2 + lane / 16));
		ldm4(q, chunk_at(qs, WARP * 16 + lane % 16, i * 2 + lane / 16));
		#pragma unroll
		for (int c = 0; c < 2; c++) {
			int col = i * 16 + c * 8 + pair;

			before[c] = WARP ? *(const float2 *)(g + (WARP * 16 - 1) * S::W + col) : make_float2(0, 0);
			near[c] = *(const float2 *)(g + (WARP * 16 + 7) * S::W + col);
			#pragma unroll
			for (int h = 0; h < 2; h++) {
				float2 at = *(const float2 *)(g + (WARP * 16 + h * 8 + row) * S::W + col);
				float2 by = kda_minus(at, near[c]);

				k_near[c * 2 + h] = kda_scaled(k[c * 2 + h], by);
				q_near[c * 2 + h] = kda_scaled(q[c * 2 + h], by);
				by = kda_minus(at, before[c]);
				k[c * 2 + h] = kda_scaled(k[c * 2 + h], by);
				q[c * 2 + h] = kda_scaled(q[c * 2 + h], by);
			}
		}
		#pragma unroll
		for (int n = 0; n <= WARP; n++) {
			uint32_t f[4];

			ldm4(f, chunk_at(ks, n * 16 + lane % 8 + lane / 16 * 8, i * 2 + lane / 8 % 2));
			#pragma unroll
			for (int j = 0; j < 4; j++) {
				float2 at = *(const float2 *)(g + (n * 16 + j / 2 * 8 + row) * S::W + i * 16 + j % 2 * 8 + pair);

				f[j] = kda_scaled(f[j], kda_minus(n < WARP ? before[j % 2] : near[j % 2], at));
			}
			#pragma unroll
			for (int b = 0; b < 2; b++) {
				mma(kk + n * 8 + b * 4, n < WARP ? k : k_near, f[b * 2], f[b * 2 + 1], ob_bfloat16());
				mma(qk + n * 8 + b * 4, n < WARP ? q : q_near, f[b * 2], f[b * 2 + 1], ob_bfloat16());
			}
		}
	}
}

/* Whether there are factors for decays among a warp's 16 tokens. */
static __device__ __forceinline__ bool kda_near(const float *g)
{
	using S = kda_chunk;
	int first = threadIdx.x / 32 * 16;
	bool near = true;

	for (int c = threadIdx.x % 32; c < S::K; c += 32)
		for (int t = 0; t < 16; t++)
			near &= fabsf(g[(first + t) * S::W + c] - g[(first + 7) * S::W + c]) <= S::far;
	return __all_sync(~0u, near);
}

/* Their logits as they are defined, in the place of those by factors. */
static __device__ __noinline__ void kda_far(float *kk, float *qk, const char *qs, const char *ks, const float *g)
{
	using S = kda_chunk;
	int lane = threadIdx.x % 32, first = threadIdx.x / 32 * 16;

	for (int e = 0; e < 8; e++) {
		int t = first + e / 2 % 2 * 8 + lane / 4, j = first + e / 4 * 8 + lane % 4 * 2 + e % 2;
		float k_sum = 0, q_sum = 0;

		if (j <= t)
			for (int c = 0; c < S::K; c++) {
				int at = chunk_at(0, t, c / 8) + c % 8 * 2;
				float k = to_float(*(const ob_bfloat16 *)(ks + chunk_at(0, j, c / 8) + c % 8 * 2)) * ex2(g[t * S::W + c] - g[j * S::W + c]);

				k_sum += to_float(*(const ob_bfloat16 *)(ks + at)) * k;
				q_sum += to_float(*(const ob_bfloat16 *)(qs + at)) * k;
			}
		kk[e] = k_sum;
		qk[e] = q_sum;
	}
}

/* Blocks: images, heads. */
static __global__ void __launch_bounds__(kda_chunk::threads, 3) kda_prepare(kda_args x, int seqs, char *images)
{
	using S = kda_chunk;
	constexpr int C = S::C;
	constexpr float LOG2E = 1.44269504f;
	extern __shared__ __align__(128) char smem[];
	int head = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	int64_t slot = blockIdx.x;
	int seq = chunk_sequence(x.cu, seqs, slot);
	int64_t t0 = x.cu[seq] + (slot - chunk_first(x.cu, seq)) * C, to = x.cu[seq + 1];
	char *image = images + (slot * S::HV + head) * S::image;
	float *f = (float *)(image + S::f_at), *g = (float *)(smem + S::g_at), *a = g, *inv = a + C * S::A;

	if (t0 >= to || to - x.cu[seq] < kda_few)
		return;
	uint32_t qs = smem_at(smem), ks = qs + S::k_bytes;
	int count = (int)min(to - t0, (int64_t)C);
	int64_t of_q = (t0 * S::HQ + head / (S::HV / S::HQ)) * S::K, of_v = t0 * S::HV + head;
	chunk_copy<S::K / 8>(qs, threadIdx.x, x.q + of_q, S::HQ * S::K, count);
	chunk_copy<S::K / 8>(ks, threadIdx.x, x.k + of_q, S::HQ * S::K, count);
	copy_commit();
	/* logarithms (base 2) of the decays, summed; one of -150 is a decay of 0. A thread has 8 elements of some tokens */
	constexpr int across = S::K / 8, groups = S::threads / across, each = C / groups;
	__shared__ __align__(16) float sums[groups][S::K], betas[C];
	int piece = threadIdx.x % across * 8, group = threadIdx.x / across;
	const ob_bfloat16 *p = x.g + (of_v + (int64_t)group * each * S::HV) * S::K + piece;
	vec<ob_bfloat16> gates[each];
	__align__(16) float sum[8] = {};

	#pragma unroll
	for (int t = 0; t < each; t++)
		if (group * each + t < count)
			gates[t] = load16(p + t * (S::HV * S::K));
	auto gate = [&](int t, int j) {
		float one = to_float(gates[t].v[j]) * LOG2E;

		return group * each + t >= count ? 0 : one < -150 ? -150 : one;
	};
	#pragma unroll
	for (int t = 0; t < each; t++)
		#pragma unroll
		for (int j = 0; j < 8; j++)
			sum[j] += gate(t, j);
	copy_eight(sums[group] + piece, sum);
	__syncthreads();
	#pragma unroll
	for (int j = 0; j < 8; j++)
		sum[j] = 0;
	#pragma unroll
	for (int i = 0; i < groups - 1; i++) {
		__align__(16) float before[8];

		copy_eight(before, sums[i] + piece);
		#pragma unroll
		for (int j = 0; j < 8; j++)
			sum[j] += i < group ? before[j] : 0;
	}
	#pragma unroll
	for (int t = 0; t < each; t++) {
		#pragma unroll
		for (int j = 0; j < 8; j++)
			sum[j] += gate(t, j);
		copy_eight(g + (group * each + t) * S::W + piece, sum);
	}
	if (group == groups - 1) {
		#pragma unroll
		for (int j = 0; j < 8; j++)
			sum[j] = ex2(sum[j]);
		copy_eight(f + C + piece, sum);
	}
	if (threadIdx.x < C)
		f[threadIdx.x] = betas[threadIdx.x] = threadIdx.x < count ? to_float(x.beta[of_v + (int64_t)threadIdx.x * S::HV]) : 0;
	copy_wait<0>();
	__syncthreads();
	for (int i = threadIdx.x; i < C * S::K / 8; i += S::threads) {
		int r = i / (S::K / 8), c = i % (S::K / 8), at = chunk_at(0, r, c);
		vec<ob_bfloat16> q = load16((ob_bfloat16 *)(smem + at)), k = load16((ob_bfloat16 *)(smem + S::k_bytes + at)), rest;
		__align__(16) float log[8], last[8];

		copy_eight(log, g + r * S::W + c * 8);
		copy_eight(last, g + (C - 1) * S::W + c * 8);
		#pragma unroll
		for (int j = 0; j < 8; j++) {
			float by = ex2(log[j]), number = to_float(k.v[j]);

			rest.v[j] = from_float<ob_bfloat16>(number * ex2(last[j] - log[j]));
			k.v[j] = from_float<ob_bfloat16>(number * by);
			q.v[j] = from_float<ob_bfloat16>(to_float(q.v[j]) * by);
		}
		store16((ob_bfloat16 *)(image + S::q_at + at), q);
		store16((ob_bfloat16 *)(image + S::k_at + at), k);
		store16((ob_bfloat16 *)(image + S::rest_at + at), rest);
	}
	/* no branch beside products: so each warp has a text of its own */
	float kk[C / 2] = {}, qk[C / 2] = {};
	switch (warp) {
	case 0: kda_products<0>(kk, qk, qs, ks, g); break;
	case 1: kda_products<1>(kk, qk, qs, ks, g); break;
	case 2: kda_products<2>(kk, qk, qs, ks, g); break;
	default: kda_products<3>(kk, qk, qs, ks, g);
	}
	if (!kda_near(g)) {
		float near[2][8];

		kda_far(near[0], near[1], smem, smem + S::k_bytes, g);
		#pragma unroll
		for (int n = 0; n < C / 16; n++)
			#pragma unroll
			for (int e = 0; e < 8; e++)
				if (n == warp) {
					kk[n * 8 + e] = near[0][e];
					qk[n * 8 + e] = near[1][e];
				}
	}
	__syncthreads();
	#pragma unroll
	for (int h = 0; h < 2; h++) {
		int t = warp * 16 + h * 8 + lane / 4;
		float beta = betas[t];

		#pragma unroll
		for (int n = 0; n < C / 8; n++) {
			int j = n * 8 + lane % 4 * 2, e = n * 4 + h * 2;

			if (n / 2 <= warp)
				*(float2 *)(a + t * S::A + j) = make_float2(j < t ? beta * kk[e] : 0, j + 1 < t ? beta * kk[e + 1] : 0);
			*(uint32_t *)(smem + chunk_at(0, t, n) + lane % 4 * 4) = pack2<ob_bfloat16>(j <= t ? qk[e] : 0, j + 1 <= t ? qk[e + 1] : 0);
		}
	}
	__syncthreads();
	#pragma unroll
	for (int i = threadIdx.x; i < S::panel / 16; i += S::threads)
		*(uint4 *)(image + S::m_at + i * 16) = *(uint4 *)(smem + i * 16);
	chunk_invert<S::A>(inv, a);
	chunk_put_inverse<S::A>(image, inv);
}
