/* Some tokens a request, from a pool of states; the pool itself stays as it is. */
#include "delta.cuh"

enum { MTP_WARPS = 8, MTP_ROWS = 4 };

static __global__ void __launch_bounds__(MTP_WARPS * 32)
gdn_mtp(const ob_bfloat16 *q, const ob_bfloat16 *k, const ob_bfloat16 *v, const float *state,
	const int *slots, const float *a_log, const ob_bfloat16 *a, const float *dt_bias,
	const ob_bfloat16 *b, ob_bfloat16 *out, int tokens, float scale)
{
	using S = delta_shape;
	int head = blockIdx.y, lane = threadIdx.x % 32;
	int64_t batch = blockIdx.z;
	int first = (blockIdx.x * MTP_WARPS + threadIdx.x / 32) * MTP_ROWS;
	float s[MTP_ROWS][S::each], qv[S::each], kv[S::each];

	#pragma unroll
	for (int r = 0; r < MTP_ROWS; r++)
		delta_load(s[r], state + (((int64_t)slots[batch] * S::HV + head) * S::V + first + r) *
			   S::K);
	for (int t = 0; t < tokens; t++) {
		int64_t token = batch * tokens + t, hv = token * S::HV + head;
		float g = delta_gate(a_log[head], __bfloat162float(a[hv]), dt_bias[head]);
		float beta = delta_beta(__bfloat162float(b[hv]));

		delta_vector(qv, q + (token * S::HQ + head / (S::HV / S::HQ)) * S::K);
		delta_vector(kv, k + (token * S::HK + head / (S::HV / S::HK)) * S::K);
		#pragma unroll
		for (int r = 0; r < MTP_ROWS; r++) {
			float o = delta_step(s[r], qv, kv, __bfloat162float(v[hv * S::V + first + r]),
					     g, beta);

			if (lane == 0)
				out[hv * S::V + first + r] = __float2bfloat16_rn(o * scale);
		}
	}
}

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	cudaStream_t st = (cudaStream_t)stream;
	size_t pool = (size_t)DIM(initial_state, 0) * delta_shape::HV * delta_shape::V *
		delta_shape::K * sizeof(float);

	if (DIM(q, 0))
		gdn_mtp<<<dim3(delta_shape::V / MTP_WARPS / MTP_ROWS, delta_shape::HV,
			       (unsigned)DIM(q, 0)), MTP_WARPS * 32, 0, st>>>(
			TENSOR(q), TENSOR(k), TENSOR(v), TENSOR(initial_state),
			TENSOR(initial_state_indices), TENSOR(A_log), TENSOR(a), TENSOR(dt_bias),
			TENSOR(b), TENSOR(output), (int)DIM(q, 1), delta_scale(arg[ARG_scale].scalar));
	cudaMemcpyAsync(TENSOR(final_state), TENSOR(initial_state), pool,
			cudaMemcpyDeviceToDevice, st);
	return cudaGetLastError();
}
