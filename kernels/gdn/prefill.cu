/*
 * The recurrence as it stands, a token at a time, with the state in registers: rows of
 * the state do not depend on each other, so that heads, sequences and rows are parallel.
 */
#include "delta.cuh"

enum { PREFILL_WARPS = 4, PREFILL_ROWS = 4 };

static __global__ void __launch_bounds__(PREFILL_WARPS * 32)
gdn_prefill(const ob_bfloat16 *q, const ob_bfloat16 *k, const ob_bfloat16 *v,
	    const float *state, const float *a_log, const ob_bfloat16 *a, const float *dt_bias,
	    const ob_bfloat16 *b, const int64_t *cu, ob_bfloat16 *out, float *new_state,
	    float scale)
{
	using S = delta_shape;
	int head = blockIdx.y, lane = threadIdx.x % 32;
	int64_t seq = blockIdx.z, at = (seq * S::HV + head) * S::V;
	int first = (blockIdx.x * PREFILL_WARPS + threadIdx.x / 32) * PREFILL_ROWS;
	int64_t from = cu[seq], to = cu[seq + 1];
	float s[PREFILL_ROWS][S::each], qv[S::each], kv[S::each];

	#pragma unroll
	for (int r = 0; r < PREFILL_ROWS; r++)
		delta_load(s[r], state + (at + first + r) * S::K);
	for (int64_t t = from; t < to; t++) {
		int64_t hv = t * S::HV + head;
		float g = delta_gate(a_log[head], __bfloat162float(a[hv]), dt_bias[head]);
		float beta = delta_beta(__bfloat162float(b[hv]));

		delta_vector(qv, q + (t * S::HQ + head / (S::HV / S::HQ)) * S::K);
		delta_vector(kv, k + (t * S::HK + head / (S::HV / S::HK)) * S::K);
		#pragma unroll
		for (int r = 0; r < PREFILL_ROWS; r++) {
			float o = delta_step(s[r], qv, kv, __bfloat162float(v[hv * S::V + first + r]),
					     g, beta);

			if (lane == 0)
				out[hv * S::V + first + r] = __float2bfloat16_rn(o * scale);
		}
	}
	#pragma unroll
	for (int r = 0; r < PREFILL_ROWS; r++) {
		/* a sequence without a token has no new state: the reference leaves zeros */
		if (to <= from)
			for (int i = 0; i < S::each; i++)
				s[r][i] = 0;
		delta_store(new_state + (at + first + r) * S::K, s[r]);
	}
}

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	if (DIM(state, 0))
		gdn_prefill<<<dim3(delta_shape::V / PREFILL_WARPS / PREFILL_ROWS, delta_shape::HV,
				   (unsigned)DIM(state, 0)), PREFILL_WARPS * 32, 0,
			(cudaStream_t)stream>>>(
			TENSOR(q), TENSOR(k), TENSOR(v), TENSOR(state), TENSOR(A_log), TENSOR(a),
			TENSOR(dt_bias), TENSOR(b), TENSOR(cu_seqlens), TENSOR(output),
			TENSOR(new_state), delta_scale(arg[ARG_scale].scalar));
	return cudaGetLastError();
}
