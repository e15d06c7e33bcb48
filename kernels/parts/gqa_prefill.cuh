/* gqa_prefill.cuh - GQA over a paged cache: a query token sees its request up to itself. */
#pragma once

#include "prefill_sm90.cuh"

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
#ifdef ARG_kv_last_page_len
	const int *last = TENSOR(kv_last_page_len);
#else
	const int *last = nullptr;
#endif
	paged_map<AX_page_size> m = { TENSOR(qo_indptr), TENSOR(kv_indptr), TENSOR(kv_indices), last };

	return prefill_best<TYPE_q, AX_head_dim, AX_head_dim, AX_num_qo_heads, AX_num_kv_heads>(
		TENSOR(q), TENSOR(k_cache), TENSOR(v_cache), TENSOR(output), ATTEND_LSE, ATTEND_SINKS, m,
		(int)DIM(qo_indptr, 0) - 1, DIM(q, 0), DIM(kv_indices, 0) * AX_page_size, DIM(k_cache, 0), AX_page_size,
		arg[ARG_sm_scale].scalar, workspace, (cudaStream_t)stream);
}
