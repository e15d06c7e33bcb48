#include "gemm_lt.cuh"

static struct gemm_args args_of(const struct ob_arg *arg)
{
	return { TENSOR(A), TENSOR(B), TENSOR(C), DIM(A, 0), AX_N, AX_K, 1 };
}

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	return gemm_workspace<TYPE_A, TYPE_C>(args_of(arg));
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	return gemm_run<TYPE_A, TYPE_C>(args_of(arg), workspace, stream);
}
