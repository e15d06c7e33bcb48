/* Float8 with one scale for each factor: both are the product's. By cuBLASLt, which has float8 from sm_89 on; else by mma. */
#include "gemm_fp8_mma.cuh"
#include "gemm_lt.cuh"

struct one_scale {
	float both;

	__device__ float token(int, int) const { return both; }
	__device__ float weight(int, int) const { return 1; }
};

static struct gemm_args args_of(const struct ob_arg *arg)
{
	return { TENSOR(a), TENSOR(b), TENSOR(out), DIM(a, 0), AX_N, AX_K,
		 (float)arg[ARG_a_scale].scalar * (float)arg[ARG_b_scale].scalar };
}

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	return gemm_workspace<TYPE_a, TYPE_out>(args_of(arg));
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	struct gemm_args g = args_of(arg);
	int err = gemm_run<TYPE_a, TYPE_out>(g, workspace, stream);

	if (err != cudaErrorNotSupported)
		return err;
	return gemm_fp8(TENSOR(a), TENSOR(b), one_scale{ g.scale }, TENSOR(out), (int)g.m, (cudaStream_t)stream);
}
