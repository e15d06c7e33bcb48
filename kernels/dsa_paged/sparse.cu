/* Each token attends to the cache rows that are listed for it; -1 is none. */
#include "mla_sm90.cuh"

struct sparse_map {
	const int *indices, *lens;	/* lens NULL: all of a row's places are looked at */

	__device__ int len(int row) const { return lens ? lens[row] : AX_topk; }
	__device__ int64_t token(int row, int n) const
	{
		return indices[(int64_t)row * AX_topk + n];
	}
	__device__ bool there(int row, int n) const
	{
		return indices[(int64_t)row * AX_topk + n] >= 0;
	}
};

/* A decode batch is sooner done than counted. In a prefill, the first tokens of a request have fewer rows to look at. */
enum { COUNTED = 128 };

/* Places up to the last one that is listed: a warp a row, from the end. */
static __global__ void __launch_bounds__(256) sparse_lens(const int *indices, int *lens, int rows)
{
	constexpr int each = 8, step = each * 32;
	int row = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32, most = 0;

	if (row >= rows)
		return;
	for (int first = (AX_topk - 1) / step * step; first >= 0 && !most; first -= step) {
		#pragma unroll
		for (int i = 0; i < each; i++) {
			int n = first + i * 32 + lane;

			if (n < AX_topk && indices[(int64_t)row * AX_topk + n] >= 0)
				most = n + 1;
		}
		most = __reduce_max_sync(~0u, most);
	}
	if (lane == 0)
		lens[row] = most;
}

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	return mla_rows_workspace(DIM(q_nope, 0)) + (size_t)DIM(q_nope, 0) * sizeof(int);
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	mla_args a = MLA_ARGS;
	int *lens = (int *)((char *)workspace + mla_rows_workspace(a.rows));
	sparse_map m = { TENSOR(sparse_indices), a.rows < COUNTED ? nullptr : lens };

	a.gaps = true;
	if (m.lens)
		sparse_lens<<<(a.rows + 7) / 8, 256, 0, (cudaStream_t)stream>>>(m.indices, lens, a.rows);
	return mla_rows_run(a, m, workspace, (cudaStream_t)stream);
}
