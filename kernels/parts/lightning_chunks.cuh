/*
 * lightning_chunks.cuh - lightning attention over long sequences, 64 tokens at a time: matrix products in place of steps.
 *
 * Within a chunk of n tokens, with w = exp(-slope) and S the state before it,
 *	out_t = w^(t+1) q_t S + sum of j <= t: w^(t-j) (q_t k_j) v_j,  new S = w^n S + sum of j: w^(n-1-j) k_j^T v_j.
 * All matrices are transposed: a warp has 16 columns of the state (of V) as rows in registers, the chunk's tokens are
 * columns. M_tj = w^(t-j) (q_t k_j) goes through shared memory, a warp has 16 rows of it. The reference keeps fp32; so what
 * is not bf16 to begin with (S, M and v by w) is the sum of two bf16 numbers here, and products with it are two.
 *
 * Where sequences are too few for the device, each is cut into segments: lightning_chunks<E, true>() goes through them from
 * states of zeros, lightning_scan() adds up what each begins with, lightning_chunks<E, false>() goes through them again.
 *
 * A nan or inf would reach tokens before it (0 nan is nan; the rest of inf is nan). What met one is marked, and
 * lightning_kernel() does it anew.
 */
#pragma once

#include "chunk_products.cuh"
#include "lightning.cuh"

#include <algorithm>
#include <type_traits>

struct lightning_chunk : chunk_tile {
	static constexpr int D = lightning_shape::D, H = lightning_shape::H, threads = 128, rows = 64, parts = D / rows;
	/* shared memory: two stages of q, k and v; M, its rest */
	static constexpr int k_at = C * D * 2, v_at = 2 * k_at, stage = v_at + panel;
	static constexpr int m_at = 2 * stage, rest_at = m_at + panel, smem = rest_at + panel + 1024;
	using by_mma = chunk_mma<D>;
	using by_wgmma = std::conditional_t<D == 128, chunk_wgmma<D>, by_mma>;
};

/* M of a chunk from what its tokens' products are, 16 rows a warp up to the diagonal. */
static __device__ __forceinline__ void lightning_weights(char *smem, const float *m, const float *power)
{
	using S = lightning_chunk;
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

	#pragma unroll
	for (int n = 0; n < S::C / 8; n++)
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			int t = warp * 16 + h * 8 + lane / 4, j = n * 8 + lane % 4 * 2, at = chunk_at(0, t, n) + lane % 4 * 4;
			const float *x = m + n * 4 + h * 2;

			split2(j <= t ? x[0] * power[t - j] : 0, j < t ? x[1] * power[t - j - 1] : 0,
			       *(uint32_t *)(smem + S::m_at + at), *(uint32_t *)(smem + S::rest_at + at));
		}
}

/* Tokens of a sequence's segment. */
struct lightning_segment {
	int64_t from, to, all;	/* all: of the sequence */
};

static __device__ __forceinline__ struct lightning_segment lightning_segment_of(const int64_t *cu, int64_t seq, int segments, int i)
{
	constexpr int C = lightning_chunk::C;
	int64_t all = cu[seq + 1] - cu[seq], each = (all + (int64_t)C * segments - 1) / (C * segments) * C;

	return { cu[seq] + min(i * each, all), cu[seq] + min((i + 1) * each, all), all };
}

/* E: who multiplies. Blocks: columns of V by 64, heads, segments of sequences. starts: [segments of sequences][H][D][D], the state before each. */
template <typename E, bool LOCAL>
static __global__ void __launch_bounds__(lightning_chunk::threads, 2)
lightning_chunks(lightning_args a, int segments, float *starts)
{
	using S = lightning_chunk;
	constexpr int C = S::C, D = S::D, stride = S::H * D;
	extern __shared__ __align__(128) char raw[];
	__shared__ __align__(1024) char outs[S::panel];		/* on their way */
	__shared__ float power[C + 1];
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32, head = blockIdx.y, first = blockIdx.x * S::rows, part = blockIdx.z % segments;
	int64_t seq = blockIdx.z / segments;
	struct lightning_segment g = lightning_segment_of(a.cu, seq, segments, part);
	const ob_bfloat16 *q = a.q + (g.from * S::H + head) * D, *k = a.k + (g.from * S::H + head) * D, *v = a.v + (g.from * S::H + head) * D + first;
	ob_bfloat16 *out = a.out + (g.from * S::H + head) * D + first;
	/* of a state, this lane's first number */
	int64_t mine = (int64_t)head * D * D + lane % 4 * 2 * D + first + warp * 16 + lane / 4;
	float s[D / 2], odd = 0;
	char *smem = raw + (-smem_at(raw) & 1023);
	uint32_t base = smem_at(smem), at = 0;
	auto fetch = [&](uint32_t tile, int64_t t0) {
		int count = (int)min(g.to - g.from - t0, (int64_t)C);

		if (!LOCAL)
			chunk_copy<D / 8>(tile, threadIdx.x, q + t0 * stride, stride, count);
		chunk_copy<D / 8>(tile + S::k_at, threadIdx.x, k + t0 * stride, stride, count);
		chunk_copy<8>(tile + S::v_at, threadIdx.x, v + t0 * stride, stride, count);
		copy_commit();
	};

	if (!E::able || g.all < lightning_few || g.from == g.to || (LOCAL && part == segments - 1))
		return;
	fetch(base, 0);
	if (threadIdx.x <= C)
		power[threadIdx.x] = expf(-a.slope[head] * threadIdx.x);
	const float *start = segments > 1 ? starts + blockIdx.z * (int64_t)(S::H * D * D) : a.state + seq * (S::H * D * D);
	#pragma unroll
	for (int i = 0; i < D / 2; i++)
		s[i] = LOCAL ? 0 : start[mine + (i / 4 * 8 + i % 2) * D + i / 2 % 2 * 8];
	for (int64_t t0 = 0; t0 < g.to - g.from; t0 += C) {
		uint32_t tile = base + at, v2[C / 4], high[C / 4], rest[C / 4];
		int count = (int)min(g.to - g.from - t0, (int64_t)C);
		float o[C / 2];

		copy_wait<0>();
		E::copied();
		__syncthreads();
		if (t0 + C < g.to - g.from)
			fetch(base + (at ^ S::stage), t0 + C);
		if (!LOCAL) {
			typename E::both left(s);
			float m[C / 2];

			E::begin();
			E::square(m, tile, tile + S::k_at);
			E::commit();
			E::whole(o, left, tile);
			E::commit();
			E::template wait<1>(m);
			lightning_weights(smem, m, power);
			E::copied();
			E::template wait<0>(o);
			#pragma unroll
			for (int i = 0; i < C / 2; i++)
				o[i] *= power[i / 4 * 8 + lane % 4 * 2 + i % 2 + 1];
		}
		chunk_columns(v2, tile + S::v_at);
		#pragma unroll
		for (int i = 0; i < C / 4; i++) {
			int left = count - 1 - (i / 2 * 8 + lane % 4 * 2);
			__nv_bfloat162 two = *(__nv_bfloat162 *)&v2[i];

			split2(left >= 0 ? to_float(two.x) * power[left] : 0, left > 0 ? to_float(two.y) * power[left - 1] : 0, high[i], rest[i]);
		}
		float gone = power[count];
		#pragma unroll
		for (int i = 0; i < D / 2; i++)
			s[i] *= gone;
		if (!LOCAL) {
			__syncthreads();
			E::begin();
			E::add(o, v2, base + S::m_at);
			E::add(o, v2, base + S::rest_at);
			E::commit();
		}
		E::rows(s, high, rest, tile + S::k_at);
		E::commit();
		if (!LOCAL) {
			E::template wait<1>(o);
			#pragma unroll
			for (int i = 0; i < C / 2; i++)
				odd += o[i] * 0;
			chunk_turn<E>(outs, o, 1);
			chunk_leave(out + t0 * stride, stride, count, outs);
		}
		#pragma unroll
		for (int i = 0; i < D / 64; i++)
			E::template wait<0>(s + i * 32);
		at ^= S::stage;
	}
	float *end = LOCAL ? starts + blockIdx.z * (int64_t)(S::H * D * D) : a.new_state + seq * (S::H * D * D);
	#pragma unroll
	for (int i = 0; i < D / 2; i++) {
		odd += s[i] * 0;
		if (LOCAL || g.to == a.cu[seq + 1])
			end[mine + (i / 4 * 8 + i % 2) * D + i / 2 % 2 * 8] = s[i];
	}
	if (!LOCAL && odd != 0)
		a.mad[seq * S::H + head] = 1;
}

/* From what each segment adds to a state to what it begins with. */
static __global__ void __launch_bounds__(256) lightning_scan(lightning_args a, int segments, float *starts)
{
	constexpr int all = lightning_chunk::H * lightning_chunk::D * lightning_chunk::D;
	int i = blockIdx.x * 256 + threadIdx.x;
	int64_t seq = blockIdx.y;
	float slope = a.slope[i / (lightning_chunk::D * lightning_chunk::D)], s = a.state[seq * all + i];

	for (int part = 0; part < segments; part++) {
		struct lightning_segment g = lightning_segment_of(a.cu, seq, segments, part);
		float *p = starts + (seq * segments + part) * all + i, added = *p;

		*p = s;
		s = s * expf(-slope * (g.to - g.from)) + (g.from < g.to ? added : 0);
	}
}

static int lightning_segments(int64_t tokens, int64_t seqs)
{
	int64_t blocks = seqs * lightning_chunk::H * lightning_chunk::parts, most = tokens / (seqs * lightning_chunk::C * 4);
	int64_t n = std::min<int64_t>(std::min<int64_t>(2 * sm_count() / blocks, most), 32);

	return n < 3 ? 1 : (int)n;	/* going through them twice has to pay */
}

/* Of scratch memory: starts, and a mark a head of a sequence. */
static size_t lightning_memory(int64_t tokens, int64_t seqs)
{
	int n = seqs ? lightning_segments(tokens, seqs) : 1;
	size_t starts = n > 1 ? (size_t)seqs * n * lightning_chunk::D * lightning_chunk::D * sizeof(float) : 0;

	return (starts + (size_t)seqs * sizeof(int)) * lightning_chunk::H;
}

template <typename E>
static bool lightning_able(void)
{
	static bool able = chunk_able<E>((const void *)lightning_chunks<E, true>, lightning_chunk::smem) &&
		chunk_able<E>((const void *)lightning_chunks<E, false>, lightning_chunk::smem);

	return able;
}

/* n segments a sequence. */
template <typename E>
static void lightning_launch(const struct lightning_args &a, int64_t seqs, int n, float *starts, cudaStream_t stream)
{
	using S = lightning_chunk;
	dim3 blocks(S::parts, S::H, (unsigned)(seqs * n));

	if (n > 1) {
		lightning_chunks<E, true><<<blocks, S::threads, S::smem, stream>>>(a, n, starts);
		lightning_scan<<<dim3(S::H * S::D * S::D / 256, (unsigned)seqs), 256, 0, stream>>>(a, n, starts);
	}
	lightning_chunks<E, false><<<blocks, S::threads, S::smem, stream>>>(a, n, starts);
}

/* All sequences that are long enough, if this device has the shared memory. An error is left for cudaGetLastError(). */
static bool lightning_long(struct lightning_args &a, int64_t tokens, int64_t seqs, char *memory, cudaStream_t stream)
{
	using S = lightning_chunk;
	int n = lightning_segments(tokens, seqs);
	float *starts = (float *)memory;

	if (!lightning_able<S::by_wgmma>() && !lightning_able<S::by_mma>())
		return false;
	a.mad = (int *)(starts + (n > 1 ? seqs * n * S::H * S::D * S::D : 0));
	cudaMemsetAsync(a.mad, 0, (size_t)seqs * S::H * sizeof(int), stream);
	if (lightning_able<S::by_wgmma>())
		lightning_launch<S::by_wgmma>(a, seqs, n, starts, stream);
	else
		lightning_launch<S::by_mma>(a, seqs, n, starts, stream);
	return true;
}
