/*
 * kda.cuh - Kimi delta attention: the delta rule of delta.cuh with a decay for each element of a key, state [V][K] of a head in
 * bfloat16, K last:
 *	S = S diag(exp g);  d = beta (v - S k);  S = S + d k^T;  out = scale S q
 *
 * Rows of the state do not depend on each other, and stay in registers, as floats; eight numbers a lane. The output does not
 * wait for the new state: S q = (S diag(exp g)) q + d (k q). Tokens come some at a time, the next ones while these are worked
 * on. One token a sequence is bound by reading and writing the state once.
 */
#pragma once

#include "cuda.cuh"

#include <cfloat>

struct kda_shape {
	static constexpr int K = AX_head_dim, V = AX_head_dim, HQ = AX_num_q_heads, HV = AX_num_v_heads;
	static constexpr int lanes = K / 8, rows = 4;		/* of a row; a lane's rows, neighbours */
	static constexpr int warps = 4, block = warps * (32 / lanes) * rows;
	static_assert(K == 64 || K == 128 || K == 256, "a row is 8, 16 or 32 lanes'");
	static_assert(V % block == 0 && HV % HQ == 0, "whole blocks of rows, of heads that share a key");
};

struct kda_args {
	const ob_bfloat16 *q, *k;		/* [tokens][HQ][K] */
	const ob_bfloat16 *v, *g, *beta;	/* [tokens][HV][V], [tokens][HV][K], [tokens][HV] */
	const ob_bfloat16 *state;		/* [sequences][HV][V][K] */
	const int64_t *cu;			/* where tokens of a sequence begin; NULL: each has one */
	ob_bfloat16 *out, *new_state;
	float scale;
	int *mad;				/* [sequences][HV]; NULL: all are to be done. Else those that are not 0, and short sequences */
};

enum { kda_few = 16 };				/* so many tokens are not worth a chunk */

/* A lane's part of a token. */
struct kda_token {
	vec<ob_bfloat16> q, k, g;
	uint2 v;				/* of its rows */
	ob_bfloat16 beta;
};

/* TOKENS at a time. */
template <int TOKENS>
static __global__ void __launch_bounds__(kda_shape::warps * 32) kda_kernel(kda_args a)
{
	using S = kda_shape;
	int lane = threadIdx.x % S::lanes, head = blockIdx.y;
	int row = blockIdx.x * S::block + threadIdx.x / S::lanes * S::rows;
	int64_t seq = blockIdx.z, from = a.cu ? a.cu[seq] : seq, to = a.cu ? a.cu[seq + 1] : seq + 1;
	int64_t at = ((seq * S::HV + head) * S::V + row) * S::K + lane * 8;
	float s[S::rows][8];
	struct kda_token soon[TOKENS];

	if (a.mad && to - from >= kda_few && !a.mad[seq * S::HV + head])
		return;
	auto fetch = [&](int64_t first) {
		#pragma unroll
		for (int i = 0; i < TOKENS; i++) {
			int64_t t = min(first + i, to - 1), of_q = t * S::HQ + head / (S::HV / S::HQ), of_v = t * S::HV + head;

			soon[i].q = load16(a.q + of_q * S::K + lane * 8);
			soon[i].k = load16(a.k + of_q * S::K + lane * 8);
			soon[i].g = load16(a.g + of_v * S::K + lane * 8);
			soon[i].v = *(const uint2 *)(a.v + of_v * S::V + row);
			soon[i].beta = a.beta[of_v];
		}
	};

	#pragma unroll
	for (int r = 0; r < S::rows; r++) {
		vec<ob_bfloat16> x = load16(a.state + at + r * S::K);

		#pragma unroll
		for (int i = 0; i < 8; i++)
			s[r][i] = to_float(x.v[i]);
	}
	if (from < to)
		fetch(from);
	for (int64_t first = from; first < to; first += TOKENS) {
		struct kda_token now[TOKENS];

		#pragma unroll
		for (int i = 0; i < TOKENS; i++)
			now[i] = soon[i];
		if (first + TOKENS < to)
			fetch(first + TOKENS);
		#pragma unroll
		for (int n = 0; n < TOKENS; n++) {
			const ob_bfloat16 *v = (const ob_bfloat16 *)&now[n].v;
			float k[8], q[8], decay[8], both = 0, old[S::rows] = {}, seen[S::rows] = {};
			ob_bfloat16 out[S::rows];

			if (first + n >= to)
				break;
			#pragma unroll
			for (int i = 0; i < 8; i++) {
				k[i] = to_float(now[n].k.v[i]);
				q[i] = to_float(now[n].q.v[i]);
				decay[i] = expf(to_float(now[n].g.v[i]));
				both += k[i] * q[i];
			}
			both = lanes_sum<S::lanes>(both);
			#pragma unroll
			for (int r = 0; r < S::rows; r++) {
				#pragma unroll
				for (int i = 0; i < 8; i++) {
					s[r][i] *= decay[i];
					old[r] += s[r][i] * k[i];
					seen[r] += s[r][i] * q[i];
				}
				old[r] = lanes_sum<S::lanes>(old[r]);
				seen[r] = lanes_sum<S::lanes>(seen[r]);
			}
			bool finite = true;
			#pragma unroll
			for (int r = 0; r < S::rows; r++) {
				float d = to_float(now[n].beta) * (to_float(v[r]) - old[r]);

				#pragma unroll
				for (int i = 0; i < 8; i++)
					s[r][i] += d * k[i];
				seen[r] += d * both;
				finite &= fabsf(seen[r]) <= FLT_MAX;
			}
			if (!__all_sync(~0u, finite))	/* inf - inf, where S q is inf */
				#pragma unroll
				for (int r = 0; r < S::rows; r++) {
					seen[r] = 0;
					#pragma unroll
					for (int i = 0; i < 8; i++)
						seen[r] += s[r][i] * q[i];
					seen[r] = lanes_sum<S::lanes>(seen[r]);
				}
			#pragma unroll
			for (int r = 0; r < S::rows; r++)
				out[r] = from_float<ob_bfloat16>(a.scale * seen[r]);
			if (lane == 0)
				*(uint2 *)(a.out + ((first + n) * S::HV + head) * S::V + row) = *(const uint2 *)out;
		}
	}
	#pragma unroll
	for (int r = 0; r < S::rows; r++) {
		vec<ob_bfloat16> x;

		#pragma unroll
		for (int i = 0; i < 8; i++)
			x.v[i] = from_float<ob_bfloat16>(s[r][i]);
		store16(a.new_state + at + r * S::K, x);
	}
}

template <int TOKENS>
static int kda_steps(const struct kda_args &a, int64_t seqs, cudaStream_t stream)
{
	using S = kda_shape;

	if (seqs)
		kda_kernel<TOKENS><<<dim3(S::V / S::block, S::HV, (unsigned)seqs), S::warps * 32, 0, stream>>>(a);
	return cudaGetLastError();
}
