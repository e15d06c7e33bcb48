#include "norm.cuh"

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	return norm<TYPE_hidden_states, AX_hidden_size, true, false>(TENSOR(hidden_states), TENSOR(residual),
			TENSOR(weight), TENSOR(output), DIM(hidden_states, 0), (float)P_eps,
			(cudaStream_t)stream);
}
