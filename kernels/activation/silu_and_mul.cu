#include "act.cuh"

struct silu {
	__device__ float operator()(float x) const { return x / (1 + __expf(-x)); }
};

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	static_assert(AX_intermediate_size % vec<TYPE_input>::n == 0, "whole 16-byte vectors");
	return act_and_mul(TENSOR(input), TENSOR(output), DIM(input, 0), AX_intermediate_size,
			   silu(), (cudaStream_t)stream);
}
