/*
 * norm.cuh - RMSNorm of rows, with an addition before it or a weight of 1 + w.
 *
 * Memory-bound: each row is read once and kept in registers. Short rows are a
 * warp's, long ones a block's, one 16-byte vector a thread or two: of 4096 numbers on, where one is too little to ask for at a time.
 */
#pragma once

#include "cuda.cuh"

template <typename T, int HIDDEN> struct norm_shape {
	static constexpr int vectors = HIDDEN / vec<T>::n;
	static constexpr int threads = vectors <= 64 ? 32 : vectors > 2048 ? 1024 :
		((vectors < 512 ? vectors : (vectors + 1) / 2) + 31) / 32 * 32;
	static constexpr int each = (vectors + threads - 1) / threads;
	static constexpr int rows = threads == 32 ? 4 : 1;	/* a block */
};

template <typename T, int HIDDEN, bool ADD, bool GEMMA>
static __global__ void __launch_bounds__(1024)
norm_kernel(const T *x, const T *add, const T *weight, T *out, int64_t n, float eps)
{
	using S = norm_shape<T, HIDDEN>;
	constexpr int V = vec<T>::n;
	int64_t row = (int64_t)blockIdx.x * S::rows + threadIdx.y;
	float f[S::each][V], sum = 0;
	vec<T> w[S::each];

	if (row >= n)
		return;
	x += row * HIDDEN;
	out += row * HIDDEN;
	/* asked for first: it is there when the sum is */
	#pragma unroll
	for (int i = 0; i < S::each; i++)
		if (int at = (threadIdx.x + i * S::threads) * V; S::vectors % S::threads == 0 || at < HIDDEN)
			w[i] = load16(weight + at);
	#pragma unroll
	for (int i = 0; i < S::each; i++) {
		int at = (threadIdx.x + i * S::threads) * V;
		vec<T> a, b;

		if (S::vectors % S::threads && at >= HIDDEN)
			continue;
		a = load16(x + at);
		if (ADD)
			b = load16(add + row * HIDDEN + at);
		#pragma unroll
		for (int k = 0; k < V; k++) {
			f[i][k] = to_float(a.v[k]) + (ADD ? to_float(b.v[k]) : 0);
			sum += f[i][k] * f[i][k];
		}
	}
	sum = block_sum<S::threads>(sum);
	float scale = rsqrtf(sum / HIDDEN + eps);
	#pragma unroll
	for (int i = 0; i < S::each; i++) {
		int at = (threadIdx.x + i * S::threads) * V;
		vec<T> r;

		if (S::vectors % S::threads && at >= HIDDEN)
			continue;
		#pragma unroll
		for (int k = 0; k < V; k++)
			r.v[k] = from_float<T>(f[i][k] * scale *
					       ((GEMMA ? 1 : 0) + to_float(w[i].v[k])));
		store16(out + at, r);
	}
}

template <typename T, int HIDDEN, bool ADD, bool GEMMA>
static int norm(const T *x, const T *add, const T *weight, T *out, int64_t n,
		float eps, cudaStream_t stream)
{
	using S = norm_shape<T, HIDDEN>;

	static_assert(HIDDEN % vec<T>::n == 0, "rows of whole 16-byte vectors");
	if (n)
		norm_kernel<T, HIDDEN, ADD, GEMMA><<<(unsigned)((n + S::rows - 1) / S::rows),
			dim3(S::threads, S::rows), 0, stream>>>(x, add, weight, out, n, eps);
	return cudaGetLastError();
}

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}
