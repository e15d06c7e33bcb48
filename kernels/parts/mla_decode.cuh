/* mla_decode.cuh - One query token a request over a paged latent cache. */
#pragma once

#include "mla_sm90.cuh"

struct decode_map {
	const int *indptr, *indices, *last;

	__device__ int len(int b) const { return paged_len<AX_page_size>(indptr, last, b); }
	__device__ int64_t token(int b, int n) const
	{
		return paged_row<AX_page_size>(indptr, indices, b, n);
	}
	__device__ bool there(int, int) const { return true; }
};

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	return mla_rows_workspace(DIM(q_nope, 0));
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	mla_args a = MLA_ARGS;
	decode_map m = { TENSOR(kv_indptr), TENSOR(kv_indices), MLA_LAST };

	return mla_rows_run(a, m, workspace, (cudaStream_t)stream);
}
