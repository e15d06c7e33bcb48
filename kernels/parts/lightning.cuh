/*
 * lightning.cuh - lightning attention: linear attention with a decay for each head, state [K][V] in float32, V last:
 *	S = exp(-slope) S + k^T v;  out = q S
 *
 * A block has up to 128 columns of a state in registers, a thread four of them by some rows; what a token gives for the output
 * is summed over all rows in shared memory, for some tokens at a time. One token a sequence is bound by reading and writing the
 * state once.
 */
#pragma once

#include "cuda.cuh"

struct lightning_shape {
	static constexpr int D = AX_head_dim, H = AX_num_heads, threads = 256, tokens = D > 128 ? 4 : 8;
	static constexpr int width = D < 128 ? D : 128, parts = D / width;	/* columns of a block */
	static constexpr int across = width / 4, groups = threads / across, rows = D / groups;
	static_assert(D == 64 || D % 128 == 0, "whole columns of a block");
	static_assert(rows % 4 == 0 && rows <= 32, "a state's part in registers");
};

struct lightning_args {
	const ob_bfloat16 *q, *k, *v;	/* [tokens][H][D] */
	const float *state, *slope;	/* [sequences][H][D][D], [H] */
	const int64_t *cu;		/* where tokens of a sequence begin; NULL: each has one */
	ob_bfloat16 *out;
	float *new_state;
	int *mad;			/* [sequences][H]; NULL: all are to be done. Else those that are not 0, and short sequences */
};

enum { lightning_few = 16 };		/* so many tokens are not worth a chunk */

/* One token on four numbers of a row. */
static __device__ __forceinline__ void lightning_row(float4 &s, float4 &sum, float decay, float k, float q, float4 v)
{
	s.x = s.x * decay + k * v.x;
	s.y = s.y * decay + k * v.y;
	s.z = s.z * decay + k * v.z;
	s.w = s.w * decay + k * v.w;
	sum.x += q * s.x;
	sum.y += q * s.y;
	sum.z += q * s.z;
	sum.w += q * s.w;
}

static __global__ void __launch_bounds__(lightning_shape::threads) lightning_kernel(lightning_args a)
{
	using S = lightning_shape;
	__shared__ __align__(16) float q[S::tokens][S::D], k[S::tokens][S::D], v[S::tokens][S::width], sums[S::tokens][S::groups][S::width];
	int column = threadIdx.x % S::across * 4, group = threadIdx.x / S::across, head = blockIdx.y, first = blockIdx.x * S::width;
	int64_t seq = blockIdx.z, from = a.cu ? a.cu[seq] : seq, to = a.cu ? a.cu[seq + 1] : seq + 1;
	int64_t at = ((seq * S::H + head) * S::D + group * S::rows) * S::D + first + column;
	float decay = expf(-a.slope[head]);
	float4 s[S::rows];

	if (a.mad && to - from >= lightning_few && !a.mad[seq * S::H + head])
		return;
	#pragma unroll
	for (int r = 0; r < S::rows; r++)
		s[r] = *(const float4 *)(a.state + at + r * S::D);
	for (int64_t t0 = from; t0 < to; t0 += S::tokens) {
		int n = (int)min((int64_t)S::tokens, to - t0);

		for (int i = threadIdx.x; i < n * S::D; i += S::threads) {
			int64_t token = (t0 + i / S::D) * S::H + head;

			q[i / S::D][i % S::D] = to_float(a.q[token * S::D + i % S::D]);
			k[i / S::D][i % S::D] = to_float(a.k[token * S::D + i % S::D]);
		}
		for (int i = threadIdx.x; i < n * S::width; i += S::threads)
			v[i / S::width][i % S::width] = to_float(a.v[((t0 + i / S::width) * S::H + head) * S::D + first + i % S::width]);
		__syncthreads();
		for (int t = 0; t < n; t++) {
			float4 x = *(const float4 *)(v[t] + column), sum = make_float4(0, 0, 0, 0);

			#pragma unroll
			for (int r = 0; r < S::rows; r += 4) {
				float4 keys = *(const float4 *)&k[t][group * S::rows + r], by = *(const float4 *)&q[t][group * S::rows + r];

				lightning_row(s[r], sum, decay, keys.x, by.x, x);
				lightning_row(s[r + 1], sum, decay, keys.y, by.y, x);
				lightning_row(s[r + 2], sum, decay, keys.z, by.z, x);
				lightning_row(s[r + 3], sum, decay, keys.w, by.w, x);
			}
			*(float4 *)(sums[t][group] + column) = sum;
		}
		__syncthreads();
		for (int i = threadIdx.x; i < n * S::width; i += S::threads) {
			float sum = 0;

			#pragma unroll
			for (int g = 0; g < S::groups; g++)
				sum += sums[i / S::width][g][i % S::width];
			a.out[((t0 + i / S::width) * S::H + head) * S::D + first + i % S::width] = from_float<ob_bfloat16>(sum);
		}
	}
	#pragma unroll
	for (int r = 0; r < S::rows; r++)
		*(float4 *)(a.new_state + at + r * S::D) = s[r];
}

static int lightning_steps(const struct lightning_args &a, int64_t seqs, cudaStream_t stream)
{
	using S = lightning_shape;

	if (seqs)
		lightning_kernel<<<dim3(S::parts, S::H, (unsigned)seqs), S::threads, 0, stream>>>(a);
	return cudaGetLastError();
}
