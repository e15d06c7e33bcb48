/*
 * delta_chunks.cuh - the gated delta rule over long sequences, 64 tokens at a time: matrix products in place of
 * steps. (Yang, Kautz and Hatamizadeh, "Gated Delta Networks", arXiv:2412.06464, has the algebra.)
 *
 * Within a chunk, with G_t = g_1 ... g_t and S the state before it, delta_steps()'s d of its tokens are the solution of
 *	(I + A) D = beta (V - G S K^T),  A_tj = beta_t (G_t / G_j) k_t k_j  for j < t,
 * a triangle; then
 *	out_t = scale (G_t S q_t + sum of j <= t: (G_t / G_j) (q_t k_j) d_j),  new S = G_64 S + sum of j: (G_64 / G_j) d_j k_j^T.
 *
 * What does not depend on the state is done first, for all chunks at once: delta_prepare() writes T = (I + A)^-1,
 * M_tj = (G_t / G_j) q_t k_j and the decays, an image of shared memory a chunk and head. delta_chain() then goes through the
 * chunks of a sequence. All of its matrices are transposed: a warp has 16 rows of the state (of V) in registers, as
 * accumulators, and the chunk's tokens are columns. So what one product gives is what the next one takes, without
 * shared memory between them, and warps depend on each other only where they share a chunk's q, k, T and M.
 *
 * A nan or inf of one token would reach earlier ones of its chunk (0 nan is nan). It always reaches the last state,
 * too: a block that finds one there does its rows anew by delta_steps().
 */
#pragma once

#include "chunk_products.cuh"
#include "delta_prepare.cuh"

#include <algorithm>
#include <cfloat>

using chain_mma = chunk_mma<chunk_shape::K>;
using chain_wgmma = chunk_wgmma<chunk_shape::K>;

/* Four warps that multiply, four that copy; a stage of shared memory is q, k, v, T and M of a chunk. */
template <typename E> struct chain_shape {
	using P = chunk_shape;
	static constexpr int workers = 128, threads = workers + 128, stages = E::stages;
	static constexpr int k_at = P::k_bytes, v_at = 2 * P::k_bytes, t_at = v_at + P::panel, m_at = t_at + P::panel;
	static constexpr int stage = t_at + 2 * P::panel, out_at = stages * stage;	/* then outputs on their way */
	static constexpr int f_at = out_at + P::panel, f_bytes = P::image - P::f_at;
	static constexpr int smem = f_at + stages * f_bytes + 1024;
	static_assert(smem <= (stages == 2 ? 163 : 227) * 1024, "sm_80, sm_90 have that much");
	static_assert(P::rows * P::K * 4 <= stage, "a state takes a stage");
	static_assert(sizeof(struct steps_memory<workers>) <= out_at, "delta_steps() in the place of chunks");
};

static __device__ __noinline__ void chain_anew(const struct delta_args &x, char *smem, int64_t seq, int head, int first)
{
	constexpr int threads = 128, rows = steps_shape<threads>::rows;

	for (int r = 0; r < chunk_shape::rows; r += rows) {
		group_sync(1, threads);
		delta_steps<threads>(x, *(struct steps_memory<threads> *)smem, seq, head, first + r);
	}
}

/* Rows of a head's state in a sequence. */
struct chain_unit {
	int64_t seq, from, to;
	int head, first;
};

static __device__ __forceinline__ struct chain_unit chain_unit_of(const struct delta_args &x, int64_t u)
{
	constexpr int parts = delta_shape::V / chunk_shape::rows;
	struct chain_unit w;

	w.first = (int)(u % parts) * chunk_shape::rows;
	w.head = (int)(u / parts % delta_shape::HV);
	w.seq = u / (parts * delta_shape::HV);
	w.from = x.cu[w.seq];
	w.to = x.cu[w.seq + 1];
	return w;
}

/*
 * E: who multiplies. A block has every gridDim.x-th unit. Its copying warps run ahead: the state of the next unit is on its way
 * while the last chunks of one are worked on; it takes a stage, as a chunk does. mad[u]: the u-th unit met a nan or inf.
 */
template <typename E>
static __global__ void __launch_bounds__(chain_shape<E>::threads, 1)
delta_chain(struct delta_args x, int64_t units, const char *images, int *mad)
{
	using S = delta_shape;
	using P = chunk_shape;
	using L = chain_shape<E>;
	constexpr int C = P::C;
	extern __shared__ __align__(128) char raw[];
	__shared__ __align__(8) uint64_t bars[2 * L::stages];
	if (!E::able)
		return;
	char *smem = raw + (-smem_at(raw) & 1023);
	uint32_t base = smem_at(smem), bar = smem_at(bars);
	int stage = 0, phase = 0;
	auto full = [&]() { return bar + stage * 8; };
	auto empty = [&]() { return bar + (L::stages + stage) * 8; };
	auto next = [&]() {
		if (++stage == L::stages) {
			stage = 0;
			phase ^= 1;
		}
	};

	if (threadIdx.x < L::stages) {
		bar_init(bar + threadIdx.x * 8, 128);
		bar_init(bar + (L::stages + threadIdx.x) * 8, L::workers);
	}
	for (int64_t u = blockIdx.x + (int64_t)threadIdx.x * gridDim.x; u < units; u += (int64_t)L::threads * gridDim.x)
		mad[u] = 0;
	__syncthreads();
	if (__shfl_sync(~0u, threadIdx.x / 128, 0) == L::workers / 128) {
		int n = threadIdx.x - L::workers;
		bool waited = false;

		for (int64_t u = blockIdx.x; u < units; u += gridDim.x) {
			struct chain_unit w = chain_unit_of(x, u);
			const char *image = images + (chunk_first(x.cu, w.seq) * S::HV + w.head) * P::image + n * 16;
			const ob_bfloat16 *q = x.q + (w.from * S::HQ + w.head / (S::HV / S::HQ)) * S::K;
			const ob_bfloat16 *k = x.k + (w.from * S::HK + w.head / (S::HV / S::HK)) * S::K;
			const ob_bfloat16 *v = x.v + (w.from * S::HV + w.head) * S::V + w.first;
			const float *state = x.state + (((w.seq * S::HV + w.head) * S::V + w.first + n / 32) * S::K + n % 32 * 4);

			if (w.from >= w.to)
				continue;
			bar_wait(empty(), phase ^ 1);
			#pragma unroll 8
			for (int r = 0; r < P::rows; r += 4)
				copy16(base + stage * L::stage + (r + n / 32) * S::K * 4 + ((n ^ (r + n / 32) % 8) % 32) * 16,
				       state + r * S::K, true);
			bar_arrive_copied(full());
			next();
			if (!waited)
				launched_early();
			waited = true;
			for (int64_t t0 = w.from; t0 < w.to; t0 += C) {
				uint32_t tile = base + stage * L::stage;
				int count = (int)min(w.to - t0, (int64_t)C);

				bar_wait(empty(), phase ^ 1);
				chunk_copy<P::K / 8>(tile + L::k_at, n, k, S::HK * S::K, count);
				chunk_copy<P::K / 8>(tile, n, q, S::HQ * S::K, count);
				chunk_copy<8>(tile + L::v_at, n, v, S::HV * S::V, count);
				#pragma unroll
				for (int i = 0; i < 2 * P::panel / 2048; i++)
					copy16(tile + L::t_at + n * 16 + i * 2048, image + i * 2048, true);
				if (n < L::f_bytes / 16)
					copy16(base + L::f_at + stage * L::f_bytes + n * 16, image + P::f_at, true);
				bar_arrive_copied(full());
				q += C * S::HQ * S::K;
				k += C * S::HK * S::K;
				v += C * S::HV * S::V;
				image += S::HV * P::image;
				next();
			}
		}
		copy_commit();
		copy_wait<0>();
		return;
	}
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	char *outs = smem + L::out_at;
	float s[P::K / 2], d[C / 2], o[C / 2];
	uint32_t left[P::K / 4], mine[C / 4], kept[C / 4];

	for (int64_t u = blockIdx.x; u < units; u += gridDim.x) {
		struct chain_unit w = chain_unit_of(x, u);
		int row = warp * 16 + lane / 4;
		float *new_state = x.new_state + ((w.seq * S::HV + w.head) * S::V + w.first + row) * S::K + lane % 4 * 2;
		ob_bfloat16 *out = x.out + (w.from * S::HV + w.head) * S::V + w.first;
		/* outputs of the chunk at t0 leave, as rows of 32 bytes; no branch, for products are under way */
		auto leave = [&](int64_t t0) {
			#pragma unroll
			for (int i = 0; i < C / 16; i++) {
				int t = i * 16 + lane / 2, c = warp * 2 + lane % 2;
				uint4 v = *(uint4 *)(outs + chunk_at(0, t, c));

				if (t0 >= w.from && t0 + t < w.to)
					*(uint4 *)(out + (t0 - w.from + t) * (S::HV * S::V) + c * 8) = v;
			}
			__syncwarp();
		};

		if (w.from < w.to) {
			const char *from = smem + stage * L::stage + row * S::K * 4 + lane % 2 * 8;

			bar_wait(full(), phase);
			#pragma unroll
			for (int n = 0; n < P::K / 8; n++)
				#pragma unroll
				for (int h = 0; h < 2; h++)
					*(float2 *)&s[n * 4 + h * 2] = *(const float2 *)(from + h * 8 * S::K * 4 +
						((n * 2 + lane % 4 / 2) ^ lane / 4) * 16);
			bar_arrive(empty());
			next();
		}
		for (int64_t t0 = w.from; t0 < w.to; t0 += C) {
			uint32_t tile = base + stage * L::stage;
			const float *f = (float *)(smem + L::f_at + stage * L::f_bytes) + lane % 4 * 2;
			uint32_t v[C / 4];

			chunk_pack<P::K / 8>(left, s);
			bar_wait(full(), phase);
			E::begin();
			E::template fresh<P::K / 16>(d, left, tile + L::k_at);
			E::commit();
			E::template fresh<P::K / 16>(o, left, tile);
			E::commit();
			leave(t0 - C);
			chunk_columns(v, tile + L::v_at);
			E::template wait<1>(d);
			/* beta (V - G S K^T) */
			#pragma unroll
			for (int n = 0; n < C / 8; n++) {
				float2 g = *(float2 *)(f + n * 8), b = *(float2 *)(f + C + n * 8);

				#pragma unroll
				for (int h = 0; h < 2; h++) {
					float *e = d + n * 4 + h * 2;
					__nv_bfloat162 two = *(__nv_bfloat162 *)&v[n * 2 + h];

					e[0] = b.x * (to_float(two.x) - g.x * e[0]);
					e[1] = b.y * (to_float(two.y) - g.y * e[1]);
				}
			}
			chunk_pack<C / 8>(mine, d);
			E::begin();
			E::lower(d, mine, tile + L::t_at);
			E::commit();
			float rest = f[C - 1 - lane % 4 * 2];
			#pragma unroll
			for (int i = 0; i < P::K / 2; i++)
				s[i] *= rest;
			E::template wait<1>(o);
			#pragma unroll
			for (int n = 0; n < C / 8; n++) {
				float2 g = *(float2 *)(f + n * 8);

				#pragma unroll
				for (int h = 0; h < 2; h++) {
					o[n * 4 + h * 2] *= g.x;
					o[n * 4 + h * 2 + 1] *= g.y;
				}
			}
			E::template wait<0>(d);
			chunk_pack<C / 8>(mine, d);
			#pragma unroll
			for (int n = 0; n < C / 8; n++) {
				float2 g = *(float2 *)(f + 2 * C + n * 8);

				#pragma unroll
				for (int h = 0; h < 2; h++)
					kept[n * 2 + h] = pack2<ob_bfloat16>(d[n * 4 + h * 2] * g.x, d[n * 4 + h * 2 + 1] * g.y);
			}
			E::begin();
			E::add(o, mine, tile + L::m_at);
			E::commit();
			E::rows(s, kept, tile + L::k_at);
			E::commit();
			E::template wait<1>(o);
			chunk_turn<E>(outs, o, x.scale);
			E::template wait<0>(s);
			E::template wait<0>(s + 32);
			bar_arrive(empty());
			next();
			if (t0 + C >= w.to)
				leave(t0);
		}
		bool odd = false;
		#pragma unroll
		for (int n = 0; n < P::K / 8; n++)
			#pragma unroll
			for (int h = 0; h < 2; h++) {
				float2 two = *(float2 *)&s[n * 4 + h * 2];

				odd |= !(fabsf(two.x) <= FLT_MAX && fabsf(two.y) <= FLT_MAX);
				/* a sequence without a token has no new state: the reference leaves zeros */
				__stcs((float2 *)(new_state + h * 8 * S::K + n * 8), w.from < w.to ? two : make_float2(0, 0));
			}
		if (odd && w.from < w.to)
			mad[u] = 1;
	}
	group_sync(1, L::workers);
	for (int64_t u = blockIdx.x; u < units; u += gridDim.x)
		if (mad[u]) {
			struct chain_unit w = chain_unit_of(x, u);

			chain_anew(x, smem, w.seq, w.head, w.first);
		}
}

template <typename E>
static bool chain_able(void)
{
	static bool able = chunk_able<E>((const void *)delta_chain<E>, chain_shape<E>::smem);

	return able;
}

template <typename E>
static void chain_launch(const struct delta_args &x, int64_t seqs, const char *images, int *mad, cudaStream_t stream)
{
	int64_t units = seqs * delta_shape::HV * (delta_shape::V / chunk_shape::rows);
	cudaLaunchAttribute early = {};
	cudaLaunchConfig_t config = {};

	early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
	early.val.programmaticStreamSerializationAllowed = 1;
	config.gridDim = dim3((unsigned)std::min<int64_t>(units, sm_count()));
	config.blockDim = dim3(chain_shape<E>::threads);
	config.dynamicSmemBytes = chain_shape<E>::smem;
	config.stream = stream;
	config.attrs = &early;
	config.numAttrs = E::hopper;
	cudaLaunchKernelEx(&config, delta_chain<E>, x, units, images, mad);
}

/* Of scratch memory: images, and a number a unit of 64 rows. */
static inline size_t chunks_memory(int64_t tokens, int64_t seqs)
{
	return ((size_t)images_most(tokens, seqs) * chunk_shape::image + (size_t)seqs * (delta_shape::V / chunk_shape::rows) * sizeof(int)) * delta_shape::HV;
}

/* All of a call, if this device has the shared memory. An error is left for cudaGetLastError(). */
static bool chunks(const struct delta_args &x, int64_t tokens, int64_t seqs, char *images, cudaStream_t stream)
{
	int64_t most = images_most(tokens, seqs);
	int *mad = (int *)(images + most * delta_shape::HV * chunk_shape::image);
	/* those that share q and k by one block, if there are blocks enough even so */
	int heads = most * delta_shape::HV >= 4 * sm_count() * prepare_shape::heads ? prepare_shape::heads : 1;

	if (!chain_able<chain_wgmma>() && !chain_able<chain_mma>())
		return false;
	delta_prepare<<<dim3((unsigned)most, delta_shape::HV / heads), chunk_shape::threads, 0, stream>>>(x, (int)seqs, heads, images);
	if (chain_able<chain_wgmma>())
		chain_launch<chain_wgmma>(x, seqs, images, mad, stream);
	else
		chain_launch<chain_mma>(x, seqs, images, mad, stream);
	return true;
}
