#include "lightning.cuh"

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	struct lightning_args a = { TENSOR(q), TENSOR(k), TENSOR(v), TENSOR(state), TENSOR(slope), nullptr, TENSOR(output), TENSOR(new_state),
		nullptr };

	return lightning_steps(a, DIM(state, 0), (cudaStream_t)stream);
}
