/* Dense projections in float8 with scales for blocks: by wgmma on Hopper, else by mma. */
#include "gemm_fp8_mma.cuh"
#include "gemm_fp8_sm90.cuh"

struct block_scales {
	const float *a, *b;

	__device__ float token(int row, int k) const { return a[(int64_t)row * AX_num_k_blocks + k]; }
	__device__ float weight(int block, int k) const { return b[block * AX_num_k_blocks + k]; }
};

/* Calls f with the shape of units that is the fastest on Hopper for so many tokens. */
template <typename F> static auto with_shape(int m, F f)
{
	typedef fp8_hopper<1, 1> few;
	typedef fp8_hopper<2, 1> some;
	typedef fp8_hopper<2, 2> many;
	int64_t a = fp8_cost<few>(m), b = fp8_cost<some>(m), c = fp8_cost<many>(m);

	return a <= b && a <= c ? f(few()) : b <= c ? f(some()) : f(many());
}

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	int m = (int)DIM(a, 0);

	return with_shape(m, [&](auto s) { return fp8_scratch<decltype(s)>(m); });
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	cudaStream_t st = (cudaStream_t)stream;
	int m = (int)DIM(a, 0);
	auto hopper = [&](auto s) {
		return fp8_hopper_run<decltype(s)>(TENSOR(a), TENSOR(b), TENSOR(a_scale), TENSOR(b_scale), TENSOR(out), m, workspace, st);
	};

	static_assert(AX_num_k_blocks == (AX_K + 127) / 128 && AX_num_n_blocks == (AX_N + 127) / 128, "blocks of 128");
	if (!m || with_shape(m, hopper))
		return cudaGetLastError();
	return gemm_fp8(TENSOR(a), TENSOR(b), block_scales{ TENSOR(a_scale), TENSOR(b_scale) }, TENSOR(out), m, st);
}
