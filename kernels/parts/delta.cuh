/*
 * delta.cuh - the gated delta rule (GDN), state [V][K] of a head, K last:
 *	old = g S;  d = beta (v - old k);  S = old + d k^T;  out = scale S q
 * with g = exp(-exp(A_log) softplus(a + dt_bias)), beta = sigmoid(b).
 *
 * A warp has whole rows of the state in registers, a lane four numbers of each row:
 * dot products are sums over the warp. Decoding is bound by reading and writing the
 * state once.
 */
#pragma once

#include "cuda.cuh"

struct delta_shape {
	static constexpr int K = AX_head_size, V = AX_head_size;
	static constexpr int HQ = AX_num_q_heads, HK = AX_num_k_heads, HV = AX_num_v_heads;
	static constexpr int each = K / 32;		/* of a row, a lane */
	static_assert(K % 128 == 0, "head_size of whole 128s");
};

/* log g */
static __device__ __forceinline__ float delta_log_gate(float a_log, float a, float bias)
{
	float x = a + bias, soft = x > 20 ? x : log1pf(expf(x));

	return -expf(a_log) * soft;
}

static __device__ __forceinline__ float delta_gate(float a_log, float a, float bias)
{
	return expf(delta_log_gate(a_log, a, bias));
}

static __device__ __forceinline__ float delta_beta(float b)
{
	return 1 / (1 + expf(-b));
}

/* A lane's part of a row: numbers 4 * lane + 128 * i and the next three. */
static __device__ __forceinline__ void delta_load(float *to, const float *row)
{
	#pragma unroll
	for (int i = 0; i < delta_shape::each; i += 4)
		*(float4 *)(to + i) = __ldcs((const float4 *)(row + i * 32 + threadIdx.x % 32 * 4));
}

static __device__ __forceinline__ void delta_store(float *row, const float *from)
{
	#pragma unroll
	for (int i = 0; i < delta_shape::each; i += 4)
		__stcs((float4 *)(row + i * 32 + threadIdx.x % 32 * 4), *(const float4 *)(from + i));
}

static __device__ __forceinline__ void delta_vector(float *to, const ob_bfloat16 *x)
{
	#pragma unroll
	for (int i = 0; i < delta_shape::each; i++)
		to[i] = __bfloat162float(x[i / 4 * 128 + threadIdx.x % 32 * 4 + i % 4]);
}

/* One token on one row; what the row gives for the output. */
static __device__ __forceinline__ float delta_step(float *s, const float *q, const float *k,
						   float v, float g, float beta)
{
	float dot = 0, out = 0, d;

	#pragma unroll
	for (int i = 0; i < delta_shape::each; i++) {
		s[i] *= g;
		dot += s[i] * k[i];
	}
	d = beta * (v - warp_sum(dot));
	#pragma unroll
	for (int i = 0; i < delta_shape::each; i++) {
		s[i] += d * k[i];
		out += s[i] * q[i];
	}
	return warp_sum(out);
}

static __host__ __device__ inline float delta_scale(double given)
{
	return given == 0 ? rsqrtf((float)delta_shape::K) : (float)given;
}
