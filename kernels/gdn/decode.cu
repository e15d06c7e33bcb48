#include "delta.cuh"

/* A block takes a part of the rows of one head; a warp four rows at a time. */
enum { DECODE_SPLIT = 4, DECODE_WARPS = 8 };

static __global__ void __launch_bounds__(DECODE_WARPS * 32)
gdn_decode(const ob_bfloat16 *q, const ob_bfloat16 *k, const ob_bfloat16 *v,
	   const float *state, const float *a_log, const ob_bfloat16 *a,
	   const float *dt_bias, const ob_bfloat16 *b, ob_bfloat16 *out,
	   float *new_state, float scale)
{
	using S = delta_shape;
	constexpr int rows = S::V / DECODE_SPLIT / DECODE_WARPS;
	int part = blockIdx.x, head = blockIdx.y, lane = threadIdx.x % 32;
	int64_t batch = blockIdx.z, hv = batch * S::HV + head;
	int first = part * (S::V / DECODE_SPLIT) + threadIdx.x / 32 * rows;
	float s[rows][S::each], qv[S::each], kv[S::each];
	float g, beta;

	#pragma unroll
	for (int r = 0; r < rows; r++)
		delta_load(s[r], state + (hv * S::V + first + r) * S::K);
	delta_vector(qv, q + (batch * S::HQ + head / (S::HV / S::HQ)) * S::K);
	delta_vector(kv, k + (batch * S::HK + head / (S::HV / S::HK)) * S::K);
	g = delta_gate(a_log[head], __bfloat162float(a[hv]), dt_bias[head]);
	beta = delta_beta(__bfloat162float(b[hv]));
	#pragma unroll
	for (int r = 0; r < rows; r++) {
		float o = delta_step(s[r], qv, kv, __bfloat162float(v[hv * S::V + first + r]), g,
				     beta);

		if (lane == 0)
			out[hv * S::V + first + r] = __float2bfloat16_rn(o * scale);
		delta_store(new_state + (hv * S::V + first + r) * S::K, s[r]);
	}
}

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	static_assert(AX_seq_len == 1, "one token a request");
	if (DIM(q, 0))
		gdn_decode<<<dim3(DECODE_SPLIT, delta_shape::HV, (unsigned)DIM(q, 0)),
			DECODE_WARPS * 32, 0, (cudaStream_t)stream>>>(
			TENSOR(q), TENSOR(k), TENSOR(v), TENSOR(state), TENSOR(A_log), TENSOR(a),
			TENSOR(dt_bias), TENSOR(b), TENSOR(output), TENSOR(new_state),
			delta_scale(arg[ARG_scale].scalar));
	return cudaGetLastError();
}
