/*
 * kda_chunks.cuh - Kimi delta attention over long sequences, 64 tokens at a time, as delta_chunks.cuh has the gated delta rule.
 *
 * Within a chunk, with G_t = exp(g_1 + ... + g_t) of each element of a key and S the state before it, the d of its tokens are the
 * solution of a triangle,
 *	(I + A) D = beta (V - S (G_t k_t)),  A_tj = beta_t (G_t / G_j k_j) k_t  for j < t;
 * then
 *	out_t = scale (S (G_t q_t) + sum of j <= t: M_tj d_j),  new S = S diag(G_64) + sum of j: d_j (G_64 / G_j k_j)^T.
 *
 * kda_prepare() writes T = (I + A)^-1, M and the keys and queries by decays, kda_chain() goes through the chunks of a
 * sequence. Matrices are transposed: a warp has 16 rows of the state (of V) in registers, the chunk's tokens are columns.
 *
 * A nan or inf of one token would reach earlier ones of its chunk. What met one is marked, and kda_kernel() does it anew.
 */
#pragma once

#include "chunk_products.cuh"
#include "kda_prepare.cuh"

#include <type_traits>

/* Two stages of shared memory, an image and v. */
struct kda_stage {
	using S = kda_chunk;
	static constexpr int v_at = S::f_at, f_at = v_at + S::panel, stage = (f_at + S::f_bytes + 1023) / 1024 * 1024;
	static constexpr int smem = 2 * stage + 1024;
	static_assert(smem + S::panel <= 163 * 1024, "sm_80 has that much");
};

/* E: who multiplies. Blocks: rows of the state by 64, heads, sequences. */
template <typename E>
static __global__ void __launch_bounds__(kda_chunk::threads, 1) kda_chain(kda_args x, const char *images)
{
	using S = kda_chunk;
	using L = kda_stage;
	constexpr int C = S::C, K = S::K;
	extern __shared__ __align__(128) char raw[];
	__shared__ __align__(1024) char outs[S::panel];	/* on their way */
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32, head = blockIdx.y, first = blockIdx.x * S::rows, at = 0;
	int64_t seq = blockIdx.z, from = x.cu[seq], to = x.cu[seq + 1];
	int64_t mine = ((seq * S::HV + head) * S::V + first + warp * 16 + lane / 4) * K + lane % 4 * 2;

	if (!E::able || to - from < kda_few)
		return;
	char *smem = raw + (-smem_at(raw) & 1023);
	uint32_t base = smem_at(smem);
	const char *image = images + (chunk_first(x.cu, seq) * S::HV + head) * S::image;
	const ob_bfloat16 *v = x.v + (from * S::HV + head) * S::V + first;
	ob_bfloat16 *out = x.out + (from * S::HV + head) * S::V + first;
	float s[K / 2], d[C / 2], o[C / 2], bad = 0;
	auto fetch = [&](uint32_t tile, int64_t t0) {
		const char *p = image + t0 / C * (S::HV * S::image);

		#pragma unroll 8
		for (int i = threadIdx.x * 16; i < S::f_at; i += S::threads * 16)
			copy16(tile + i, p + i, true);
		if (threadIdx.x < S::f_bytes / 16)
			copy16(tile + L::f_at + threadIdx.x * 16, p + S::f_at + threadIdx.x * 16, true);
		chunk_copy<8>(tile + L::v_at, threadIdx.x, v + t0 * (S::HV * S::V), S::HV * S::V, (int)min(to - from - t0, (int64_t)C));
		copy_commit();
	};

	fetch(base, 0);
	#pragma unroll
	for (int i = 0; i < K / 4; i++) {
		__nv_bfloat162 two = *(const __nv_bfloat162 *)(x.state + mine + i % 2 * 8 * K + i / 2 * 8);

		s[i * 2] = to_float(two.x);
		s[i * 2 + 1] = to_float(two.y);
	}
	for (int64_t t0 = 0; t0 < to - from; t0 += C) {
		uint32_t tile = base + at, left[K / 4], v2[C / 4];
		const float *f = (const float *)(smem + at + L::f_at) + lane % 4 * 2;
		int count = (int)min(to - from - t0, (int64_t)C);

		chunk_pack<K / 8>(left, s);
		copy_wait<0>();
		E::copied();
		__syncthreads();
		if (t0 + C < to - from)
			fetch(base + (at ^ L::stage), t0 + C);
		E::begin();
		E::template fresh<K / 16>(d, left, tile + S::k_at);
		E::commit();
		E::template fresh<K / 16>(o, left, tile + S::q_at);
		E::commit();
		chunk_columns(v2, tile + L::v_at);
		E::template wait<1>(d);
		/* beta (V - S G_t k_t) */
		#pragma unroll
		for (int i = 0; i < C / 4; i++) {
			float2 beta = *(const float2 *)(f + i / 2 * 8);
			__nv_bfloat162 two = *(__nv_bfloat162 *)&v2[i];

			v2[i] = pack2<ob_bfloat16>(beta.x * (to_float(two.x) - d[i * 2]), beta.y * (to_float(two.y) - d[i * 2 + 1]));
		}
		E::begin();
		E::lower(d, v2, tile);
		E::commit();
		#pragma unroll
		for (int i = 0; i < K / 4; i++) {
			float2 gone = *(const float2 *)(f + C + i / 2 * 8);

			s[i * 2] *= gone.x;
			s[i * 2 + 1] *= gone.y;
		}
		E::template wait<0>(d);
		E::template wait<0>(o);
		chunk_pack<C / 8>(v2, d);
		E::begin();
		E::add(o, v2, tile + S::m_at);
		E::commit();
		E::rows(s, v2, tile + S::rest_at);
		E::commit();
		E::template wait<1>(o);
		#pragma unroll
		for (int i = 0; i < C / 2; i++)
			bad += o[i] * 0;
		chunk_turn<E>(outs, o, x.scale);
		chunk_leave(out + t0 * (S::HV * S::V), S::HV * S::V, count, outs);
		#pragma unroll
		for (int i = 0; i < K / 64; i++)
			E::template wait<0>(s + i * 32);
		at ^= L::stage;
	}
	#pragma unroll
	for (int i = 0; i < K / 4; i++) {
		bad += (s[i * 2] + s[i * 2 + 1]) * 0;
		*(uint32_t *)(x.new_state + mine + i % 2 * 8 * K + i / 2 * 8) = pack2<ob_bfloat16>(s[i * 2], s[i * 2 + 1]);
	}
	if (bad != 0)
		x.mad[seq * S::HV + head] = 1;
}

/* Of scratch memory: images, and a mark a head of a sequence. */
static size_t kda_memory(int64_t tokens, int64_t seqs)
{
	return ((size_t)images_most(tokens, seqs) * kda_chunk::image + (size_t)seqs * sizeof(int)) * kda_chunk::HV;
}

template <typename E>
static bool kda_able(void)
{
	static bool able = chunk_able<E>((const void *)kda_chain<E>, kda_stage::smem) &&
		chunk_able<chunk_mma<kda_chunk::K>>((const void *)kda_prepare, kda_chunk::smem);

	return able;
}

/* All sequences that are long enough, if this device has the shared memory. An error is left for cudaGetLastError(). */
static bool kda_long(struct kda_args &x, int64_t tokens, int64_t seqs, char *images, cudaStream_t stream)
{
	using S = kda_chunk;
	using by_mma = chunk_mma<S::K>;
	using by_wgmma = std::conditional_t<S::K == 128, chunk_wgmma<S::K>, by_mma>;
	int64_t most = images_most(tokens, seqs);
	dim3 blocks(S::V / S::rows, S::HV, (unsigned)seqs);

	if (!kda_able<by_wgmma>() && !kda_able<by_mma>())
		return false;
	x.mad = (int *)(images + most * S::HV * S::image);
	cudaMemsetAsync(x.mad, 0, (size_t)seqs * S::HV * sizeof(int), stream);
	kda_prepare<<<dim3((unsigned)most, S::HV), S::threads, S::smem, stream>>>(x, (int)seqs, images);
	if (kda_able<by_wgmma>())
		kda_chain<by_wgmma><<<blocks, S::threads, kda_stage::smem, stream>>>(x, images);
	else
		kda_chain<by_mma><<<blocks, S::threads, kda_stage::smem, stream>>>(x, images);
	return true;
}
