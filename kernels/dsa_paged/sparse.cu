/* Each token attends to the cache rows that are listed for it; -1 is none. */
#include "mla_sm90.cuh"

struct sparse_map {
	const int *indices;

	__device__ int len(int) const { return AX_topk; }
	__device__ int64_t token(int row, int n) const
	{
		return indices[(int64_t)row * AX_topk + n];
	}
	__device__ bool there(int row, int n) const
	{
		return indices[(int64_t)row * AX_topk + n] >= 0;
	}
};

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	return mla_rows_workspace(DIM(q_nope, 0));
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	mla_args a = MLA_ARGS;
	sparse_map m = { TENSOR(sparse_indices) };

	return mla_rows_run(a, m, workspace, (cudaStream_t)stream);
}
