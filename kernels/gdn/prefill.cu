/* Chunks where a sequence may be long and the device has the shared memory for them (heads of 128), else a token at a time. */
#include "axes.h"
#if AX_head_size == 128
#include "delta_chunks.cuh"
#else
#include "delta_steps.cuh"

static size_t chunks_memory(int64_t, int64_t)
{
	return 0;
}

static bool chunks(const struct delta_args &, int64_t, int64_t, char *, cudaStream_t)
{
	return false;
}
#endif

enum { STEPS = 128, FEW = 64 };		/* threads of a block that goes token by token; so many tokens are not worth a chunk */

static __global__ void __launch_bounds__(STEPS) gdn_steps(struct delta_args x)
{
	__shared__ struct steps_memory<STEPS> m;

	delta_steps<STEPS>(x, m, blockIdx.z, blockIdx.y, blockIdx.x * steps_shape<STEPS>::rows);
}

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	return chunks_memory(DIM(q, 0), DIM(state, 0));
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	struct delta_args x = { TENSOR(q), TENSOR(k), TENSOR(v), TENSOR(state), TENSOR(A_log), TENSOR(dt_bias), TENSOR(a),
		TENSOR(b), TENSOR(cu_seqlens), TENSOR(output), TENSOR(new_state), delta_scale(arg[ARG_scale].scalar) };
	int64_t seqs = DIM(state, 0), tokens = DIM(q, 0);

	if (!seqs)
		return cudaSuccess;
	if (tokens <= FEW || !chunks(x, tokens, seqs, (char *)workspace, (cudaStream_t)stream))
		gdn_steps<<<dim3(delta_shape::V / steps_shape<STEPS>::rows, delta_shape::HV, (unsigned)seqs), STEPS, 0,
			(cudaStream_t)stream>>>(x);
	return cudaGetLastError();
}
