/*
 * cuda.cuh - what our kernels share: types of a Definition, 16-byte vectors, warp
 * and block sums, the matrix instruction. sm_80 and later.
 */
#pragma once

#include "axes.h"
#include "solution.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include "ptx.cuh"

typedef __nv_bfloat16 ob_bfloat16;
typedef __half ob_float16;
typedef float ob_float32;
typedef __nv_fp8_e4m3 ob_float8_e4m3fn;
typedef int8_t ob_int8;
typedef int32_t ob_int32;
typedef int64_t ob_int64;

/* The tensor of an input or output, by its name in the Definition. */
#define TENSOR(name) ((TYPE_##name *)arg[ARG_##name].data)
#define DIM(name, i) (arg[ARG_##name].shape[i])

/* 16 bytes of T as floats and back. */
template <typename T> struct vec {
	static constexpr int n = 16 / sizeof(T);
	T v[n];
};

template <typename T> static __device__ __forceinline__ float to_float(T x)
{
	return (float)x;
}

template <typename T> static __device__ __forceinline__ T from_float(float x)
{
	return (T)x;
}

template <> __device__ __forceinline__ ob_bfloat16 from_float<ob_bfloat16>(float x)
{
	return __float2bfloat16_rn(x);
}

template <> __device__ __forceinline__ ob_float16 from_float<ob_float16>(float x)
{
	return __float2half_rn(x);
}

template <typename T>
static __device__ __forceinline__ vec<T> load16(const T *p)
{
	vec<T> r;

	*(uint4 *)&r = *(const uint4 *)p;
	return r;
}

template <typename T>
static __device__ __forceinline__ void store16(T *p, const vec<T> &v)
{
	*(uint4 *)p = *(const uint4 *)&v;
}

/* Of LANES neighbours, a power of two: their group starts at a multiple of it. */
template <int LANES>
static __device__ __forceinline__ float lanes_sum(float x)
{
	#pragma unroll
	for (int o = LANES / 2; o; o >>= 1)
		x += __shfl_xor_sync(~0u, x, o);
	return x;
}

static __device__ __forceinline__ float warp_sum(float x)
{
	return lanes_sum<32>(x);
}

static __device__ __forceinline__ float warp_max(float x)
{
	for (int o = 16; o; o >>= 1)
		x = fmaxf(x, __shfl_xor_sync(~0u, x, o));
	return x;
}

/* Of four neighbouring lanes: they share the rows of a matrix fragment. */
static __device__ __forceinline__ float quad_sum(float x)
{
	return lanes_sum<4>(x);
}

static __device__ __forceinline__ float quad_max(float x)
{
	x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
	return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

/*
 * The online softmax, base 2, with a maximum so far. What is subtracted from its logits: nothing where there are none; where
 * one is inf, something finite, so that its weight and the row's lse are inf, as torch.logsumexp() has it.
 */
static __device__ __forceinline__ float softmax_base(float top)
{
	return top == -INFINITY ? 0 : fminf(top, 3e38f);
}

/* By what sums so far shrink. */
static __device__ __forceinline__ float softmax_keep(float was, float top)
{
	return was == top ? 1 : exp2f(was - top);
}

/* The weight of a part, of which no sum is 0 where its maximum is inf. */
static __device__ __forceinline__ float softmax_weight(float m, float top)
{
	return exp2f(m - softmax_base(top));
}

template <typename T>
static __device__ __forceinline__ uint32_t pack2(float lo, float hi)
{
	T v[2] = { from_float<T>(lo), from_float<T>(hi) };

	return *(uint32_t *)v;
}

/* SMs of the current device. */
static inline int sm_count(void)
{
	static int n;
	int dev = 0;

	if (!n) {
		cudaGetDevice(&dev);
		cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, dev);
	}
	return n;
}
