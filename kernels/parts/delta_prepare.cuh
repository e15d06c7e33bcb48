/*
 * delta_prepare.cuh - what of a chunk of 64 tokens does not depend on the state (delta_chunks.cuh says what T and M are),
 * for all chunks and heads at once. Numbers are fp32, products of them tf32, results bf16.
 */
#pragma once

#include "chunk_inverse.cuh"
#include "delta_steps.cuh"

struct chunk_shape : chunk_tile {
	static constexpr int threads = 128;	/* of delta_prepare() */
	static constexpr int K = delta_shape::K, k_bytes = C * K * 2;
	static constexpr int rows = 64;		/* of a head's state that a block has, 16 a warp */
	/* an image: T, M, then G_t, beta_t and G_64 / G_t, 64 numbers each */
	static constexpr int m_at = panel, f_at = 2 * panel, image = f_at + 3 * C * (int)sizeof(float);
};

/*
 * k k^T and q k^T: 16 rows of each a warp, up to the diagonal; who has the short ones of the first has the long ones of
 * the other.
 */
template <int WARP>
static __device__ __forceinline__ void prepare_products(float *kk, float *qk, uint32_t ks, uint32_t qs)
{
	constexpr int last = chunk_shape::C / 16 - 1, other = last - WARP;
	int lane = threadIdx.x % 32;

	#pragma unroll
	for (int i = 0; i < chunk_shape::K / 16; i++) {
		uint32_t ka[4], qa[4], f[4];

		ldm4(ka, chunk_at(ks, WARP * 16 + lane % 16, i * 2 + lane / 16));
		ldm4(qa, chunk_at(qs, other * 16 + lane % 16, i * 2 + lane / 16));
		#pragma unroll
		for (int n = 0; n <= (WARP > other ? WARP : other); n++) {
			ldm4(f, chunk_at(ks, n * 16 + lane % 8 + lane / 16 * 8, i * 2 + lane / 8 % 2));
			if (n <= WARP) {
				mma(kk + n * 8, ka, f[0], f[1], ob_bfloat16());
				mma(kk + n * 8 + 4, ka, f[2], f[3], ob_bfloat16());
			}
			if (n <= other) {
				mma(qk + n * 8, qa, f[0], f[1], ob_bfloat16());
				mma(qk + n * 8 + 4, qa, f[2], f[3], ob_bfloat16());
			}
		}
	}
}

/* Heads that have the same q and k. */
struct prepare_shape {
	using S = delta_shape;
	static constexpr int most = S::HV / (S::HQ > S::HK ? S::HQ : S::HK);
	static constexpr int heads = S::HV / S::HQ % most == 0 && S::HV / S::HK % most == 0 ? most : 1;
};

/* T, M and decays of a chunk, of `heads` heads a block that have the same q and k. */
static __global__ void __launch_bounds__(chunk_shape::threads, 4)
delta_prepare(struct delta_args x, int seqs, int heads, char *images)
{
	using S = delta_shape;
	using P = chunk_shape;
	constexpr int C = P::C, W = C + 4;	/* of rows in shared memory: no two at the same bank */
	constexpr float LOG2E = 1.44269504f;
	union both {
		char tiles[2][P::k_bytes];
		float a[2][C][W];
	};
	__shared__ __align__(128) union both m;
	__shared__ __align__(8) float decays[prepare_shape::heads][C], betas[prepare_shape::heads][C], sums[prepare_shape::heads][2];
	__shared__ bool odd;
	int head = blockIdx.y * heads, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	int64_t slot = blockIdx.x;
	int seq = chunk_sequence(x.cu, seqs, slot);
	int64_t t0 = x.cu[seq] + (slot - chunk_first(x.cu, seq)) * C, to = x.cu[seq + 1];
	char *image = images + (slot * S::HV + head) * P::image;

	if (t0 >= to)
		return;
	uint32_t qs = smem_at(m.tiles[0]), ks = smem_at(m.tiles[1]);
	int count = (int)min(to - t0, (int64_t)C), token = threadIdx.x % C;
	chunk_copy<P::K / 8>(qs, threadIdx.x, x.q + (t0 * S::HQ + head / (S::HV / S::HQ)) * S::K, S::HQ * S::K, count);
	chunk_copy<P::K / 8>(ks, threadIdx.x, x.k + (t0 * S::HK + head / (S::HV / S::HK)) * S::K, S::HK * S::K, count);
	copy_commit();

	/* logarithms (base 2) of the decays, summed; one of -150 is a decay of 0. A half of the block has a head. */
	#pragma unroll
	for (int i = 0; i < prepare_shape::heads; i += 2) {
		int h = i + threadIdx.x / C;
		float sum = 0;

		if (h < heads && token < count) {
			int64_t at = (t0 + token) * S::HV + head + h;

			sum = LOG2E * delta_log_gate(x.a_log[head + h], to_float(x.a[at]), x.dt_bias[head + h]);
			sum = sum < -150 ? -150 : sum;
			betas[h][token] = delta_beta(to_float(x.b[at]));
		} else if (h < heads)
			betas[h][token] = 0;
		#pragma unroll
		for (int o = 1; o < 32; o *= 2) {
			float v = __shfl_up_sync(~0u, sum, o);

			sum += lane >= o ? v : 0;
		}
		if (h < heads) {
			decays[h][token] = sum;
			if (lane == 31)
				sums[h][warp % 2] = sum;
		}
	}
	if (threadIdx.x == 0)
		odd = false;
	copy_wait<0>();
	__syncthreads();
	for (int h = threadIdx.x / C; h < heads; h += 2) {
		float sum = decays[h][token] + (warp % 2 ? sums[h][0] : 0), *f = (float *)(image + h * P::image + P::f_at) + token;

		decays[h][token] = sum;
		f[0] = exp2f(sum);
		f[C] = betas[h][token];
		f[2 * C] = exp2f(sums[h][0] + sums[h][1] - sum);
	}
	/* no branch beside products: so each warp has a text of its own */
	float kk[C / 2] = {}, qk[C / 2] = {};
	switch (warp) {
	case 0: prepare_products<0>(kk, qk, ks, qs); break;
	case 1: prepare_products<1>(kk, qk, ks, qs); break;
	case 2: prepare_products<2>(kk, qk, ks, qs); break;
	default: prepare_products<3>(kk, qk, ks, qs);
	}
	/* where an output is inf, sums of parts may be nan: the chunk's state is to be nan, then, so that its rows are done anew */
	float sum = 0;
	#pragma unroll
	for (int i = 0; i < C / 2; i++)
		sum += qk[i] * 0;
	if (sum != 0)
		odd = true;
	float *a = m.a[0][0], *inv = m.a[1][0];
	char *logits = (char *)inv;
	int other = C / 16 - 1 - warp;
	#pragma unroll 1
	for (int nth = 0; nth < heads; nth++, image += P::image) {
		const float *decay = decays[nth], *beta = betas[nth];

		__syncthreads();
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			int ta = warp * 16 + h * 8 + lane / 4, tm = other * 16 + h * 8 + lane / 4;
			float ga = decay[ta], gm = decay[tm], b = beta[ta];

			#pragma unroll
			for (int n = 0; n < C / 8; n++) {
				int j = n * 8 + lane % 4 * 2, e = n * 4 + h * 2;
				float2 g = *(float2 *)&decay[j];
				uint32_t two = 0;

				if (n / 2 <= warp) {
					float lo = b * ex2(ga - g.x) * kk[e], hi = b * ex2(ga - g.y) * kk[e + 1];

					*(float2 *)(a + ta * W + j) = make_float2(j < ta ? lo : 0, j + 1 < ta ? hi : 0);
				}
				if (n / 2 <= other) {
					float lo = ex2(gm - g.x) * qk[e], hi = ex2(gm - g.y) * qk[e + 1];

					two = pack2<ob_bfloat16>(j <= tm ? lo : 0, j + 1 <= tm ? hi : 0);
				}
				*(uint32_t *)(logits + tm * 128 + ((n ^ tm) & 7) * 16 + lane % 4 * 4) = two;
			}
		}
		__syncthreads();
		if (odd && threadIdx.x == 0)
			((float *)(image + P::f_at))[2 * C] = NAN;
		#pragma unroll
		for (int i = threadIdx.x; i < P::panel / 16; i += P::threads)
			*(uint4 *)(image + P::m_at + i * 16) = *(uint4 *)(logits + i * 16);
		chunk_invert<W>(inv, a);
		chunk_put_inverse<W>(image, inv);
	}
}
