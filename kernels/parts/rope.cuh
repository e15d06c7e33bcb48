/*
 * rope.cuh - rotary embedding from a cache of cosines and sines, out of place.
 *
 * Memory-bound. A thread takes the vectors that rotate into each other: in the NeoX
 * style 8 elements of each half, in the GPT-J style 8 neighbours; what is
 * beyond rotary_dim is copied. Blocks take tokens, so cos and sin of a token come
 * from L1 for all heads but the first.
 */
#pragma once

#include "cuda.cuh"

template <typename T, bool NEOX, int HEAD, int ROT>
static __device__ void rope_head(const T *x, T *out, const float *cs, int i)
{
	constexpr int V = vec<T>::n, half = ROT / 2, pairs = NEOX ? half / V : ROT / V;
	vec<T> a, b, ra, rb;

	if (i >= pairs) {		/* not rotated */
		int at = ROT + (i - pairs) * V;

		store16(out + at, load16(x + at));
	} else if (NEOX) {
		float cos[V], sin[V];

		a = load16(x + i * V);
		b = load16(x + half + i * V);
		#pragma unroll
		for (int k = 0; k < V; k += 4) {
			*(float4 *)(cos + k) = *(const float4 *)(cs + i * V + k);
			*(float4 *)(sin + k) = *(const float4 *)(cs + half + i * V + k);
		}
		#pragma unroll
		for (int k = 0; k < V; k++) {
			float c = cos[k], s = sin[k];
			float p = to_float(a.v[k]), q = to_float(b.v[k]);

			ra.v[k] = from_float<T>(p * c - q * s);
			rb.v[k] = from_float<T>(q * c + p * s);
		}
		store16(out + i * V, ra);
		store16(out + half + i * V, rb);
	} else {
		a = load16(x + i * V);
		#pragma unroll
		for (int k = 0; k < V; k += 2) {
			float c = cs[(i * V + k) / 2], s = cs[half + (i * V + k) / 2];
			float p = to_float(a.v[k]), q = to_float(a.v[k + 1]);

			ra.v[k] = from_float<T>(p * c - q * s);
			ra.v[k + 1] = from_float<T>(q * c + p * s);
		}
		store16(out + i * V, ra);
	}
}

template <typename T, bool NEOX, int HEAD, int ROT>
static __global__ void rope_kernel(const T *q, const T *k, const float *cache,
				   const int64_t *positions, T *q_out, T *k_out,
				   int64_t tokens, int qo, int kv, int64_t max_pos)
{
	constexpr int V = vec<T>::n;
	constexpr int items = (NEOX ? ROT / 2 : ROT) / V + (HEAD - ROT) / V;
	int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
	int64_t token = i / ((qo + kv) * items), rest = i % ((qo + kv) * items);
	int head = (int)(rest / items), item = (int)(rest % items);
	int64_t pos;

	if (token >= tokens)
		return;
	pos = positions[token];
	pos = pos < 0 ? 0 : pos >= max_pos ? max_pos - 1 : pos;
	if (head < qo)
		rope_head<T, NEOX, HEAD, ROT>(q + (token * qo + head) * HEAD,
				q_out + (token * qo + head) * HEAD, cache + pos * ROT, item);
	else
		rope_head<T, NEOX, HEAD, ROT>(k + (token * kv + head - qo) * HEAD,
				k_out + (token * kv + head - qo) * HEAD, cache + pos * ROT, item);
}

/*
 * NeoX style where the half is a power of two of vectors: a thread has one vector of
 * some heads of a token, its partner comes from a lane nearby, and cos and sin are read once.
 */
template <typename T, int HEAD, int ROT, int HEADS>
static __global__ void __launch_bounds__(128, HEADS == 4 ? 8 : 10)
rope_lanes(const T *q, const T *k, const float *cache, const int64_t *positions, T *q_out, T *k_out,
	   int64_t tokens, int qo, int kv, int64_t max_pos)
{
	constexpr int V = vec<T>::n, lanes = HEAD / V, half = ROT / 2 / V;
	/* 32 bits: a division of 64 takes as long as a read of the L2 cache */
	unsigned parts = (qo + kv + HEADS - 1) / HEADS, lane = threadIdx.x % lanes;
	unsigned group = blockIdx.x * (blockDim.x / lanes) + threadIdx.x / lanes, part = group % parts;
	bool there = group / parts < tokens, rotated = lane < 2 * half;
	int64_t token = there ? group / parts : tokens - 1;	/* all lanes take part in the exchange */
	int first = part * HEADS;
	int64_t pos = positions[token];	/* at once: cos and sin wait for it */
	float c[V], s[V];
	vec<T> x[HEADS];

	#pragma unroll
	for (int i = 0; i < HEADS; i++) {
		int h = min(first + i, qo + kv - 1);

		x[i] = load16((h < qo ? q + (token * qo + h) * HEAD : k + (token * kv + h - qo) * HEAD) +
			      lane * V);
	}
	pos = pos < 0 ? 0 : pos >= max_pos ? max_pos - 1 : pos;
	if (rotated) {
		const float *cs = cache + pos * ROT + lane % half * V;

		#pragma unroll
		for (int j = 0; j < V; j += 4) {
			*(float4 *)(c + j) = *(const float4 *)(cs + j);
			*(float4 *)(s + j) = *(const float4 *)(cs + ROT / 2 + j);
		}
	}
	#pragma unroll
	for (int i = 0; i < HEADS; i++) {
		int h = first + i;
		vec<T> y = x[i];
		uint4 mine = *(uint4 *)&x[i], other;

		other.x = __shfl_xor_sync(~0u, mine.x, half);
		other.y = __shfl_xor_sync(~0u, mine.y, half);
		other.z = __shfl_xor_sync(~0u, mine.z, half);
		other.w = __shfl_xor_sync(~0u, mine.w, half);
		if (rotated) {
			vec<T> z = *(vec<T> *)&other;

			#pragma unroll
			for (int j = 0; j < V; j++)
				y.v[j] = from_float<T>(to_float(x[i].v[j]) * c[j] +
					(lane < half ? -1 : 1) * to_float(z.v[j]) * s[j]);
		}
		if (h < qo + kv && there)
			store16((h < qo ? q_out + (token * qo + h) * HEAD :
				 k_out + (token * kv + h - qo) * HEAD) + lane * V, y);
	}
}

template <bool NEOX> static int rope(const struct ob_arg *arg, cudaStream_t stream)
{
	typedef TYPE_q T;
	constexpr int V = vec<T>::n, H = AX_head_size, R = AX_rotary_dim;
	constexpr int items = (NEOX ? R / 2 : R) / V + (H - R) / V;
	int qo = (int)DIM(q, 1), kv = (int)DIM(k, 1);
	int64_t n = DIM(q, 0) * (qo + kv) * items;

	static_assert(R / 2 % V == 0 && (H - R) % V == 0, "halves of whole 16-byte vectors");
	constexpr int half = R / 2 / V, lanes = H / V;
	if constexpr (NEOX && (half & (half - 1)) == 0 && (lanes & (lanes - 1)) == 0 && lanes <= 32) {
		/* four heads a thread, 64 kB in flight on a multiprocessor; fewer while there are too few threads */
		int64_t each = n / sm_count();
		int heads = each < 2048 ? 1 : each < 8192 ? 2 : 4;
		int64_t groups = DIM(q, 0) * ((qo + kv + heads - 1) / heads);
		auto kernel = heads == 1 ? rope_lanes<T, H, R, 1> :
			heads == 2 ? rope_lanes<T, H, R, 2> : rope_lanes<T, H, R, 4>;

		if (n && groups < 1ll << 31) {
			kernel<<<(unsigned)((groups * lanes + 127) / 128), 128, 0, stream>>>(
				TENSOR(q), TENSOR(k), TENSOR(cos_sin_cache), TENSOR(positions),
				TENSOR(q_out), TENSOR(k_out), DIM(q, 0), qo, kv, DIM(cos_sin_cache, 0));
			return cudaGetLastError();
		}
	}
	if (n)
		rope_kernel<T, NEOX, H, R><<<(unsigned)((n + 255) / 256), 256, 0, stream>>>(
			TENSOR(q), TENSOR(k), TENSOR(cos_sin_cache), TENSOR(positions),
			TENSOR(q_out), TENSOR(k_out), DIM(q, 0), qo, kv, DIM(cos_sin_cache, 0));
	return cudaGetLastError();
}

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}
