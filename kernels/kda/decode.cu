#include "kda.cuh"

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	static_assert(AX_seq_len == 1, "one token a request");
	struct kda_args a = { TENSOR(q), TENSOR(k), TENSOR(v), TENSOR(g), TENSOR(beta), TENSOR(state), nullptr, TENSOR(output),
		TENSOR(new_state), (float)arg[ARG_scale].scalar, nullptr };

	return kda_steps<1>(a, DIM(state, 0), (cudaStream_t)stream);
}
