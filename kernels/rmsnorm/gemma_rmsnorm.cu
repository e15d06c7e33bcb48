#include "norm.cuh"

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	return norm<TYPE_hidden_states, AX_hidden_size, false, true>(TENSOR(hidden_states), nullptr,
			TENSOR(weight), TENSOR(output), DIM(hidden_states, 0), (float)P_eps,
			(cudaStream_t)stream);
}
