/* act.cuh - gate and up halves of a row: out = act(gate) * up. Memory-bound. */
#pragma once

#include "cuda.cuh"

template <typename T, typename F>
static __global__ void act_kernel(const T *x, T *out, int64_t n, int half, F act)
{
	constexpr int V = vec<T>::n;
	int64_t i = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) * V;
	int64_t row = i / half, at = i % half;
	vec<T> g, u, r;

	if (i >= n * half)
		return;
	g = load16(x + row * 2 * half + at);
	u = load16(x + row * 2 * half + half + at);
	#pragma unroll
	for (int k = 0; k < V; k++)
		r.v[k] = from_float<T>(act(to_float(g.v[k])) * to_float(u.v[k]));
	store16(out + i, r);
}

template <typename T, typename F>
static int act_and_mul(const T *x, T *out, int64_t n, int half, F act, cudaStream_t stream)
{
	int64_t vectors = n * half / vec<T>::n;

	if (vectors)
		act_kernel<<<(unsigned)((vectors + 255) / 256), 256, 0, stream>>>(x, out, n,
										 half, act);
	return cudaGetLastError();
}

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}
