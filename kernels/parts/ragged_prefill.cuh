/* ragged_prefill.cuh - causal attention over ragged keys, of GQA or MLA: a query token sees its request up to itself. */
#pragma once

#include "prefill_sm90.cuh"

#ifdef AX_head_dim
enum { RAGGED_QK = AX_head_dim, RAGGED_VO = AX_head_dim };
#else
enum { RAGGED_QK = AX_qk_dim, RAGGED_VO = AX_vo_dim };
#endif
#ifndef AX_num_kv_heads
#define AX_num_kv_heads AX_num_qo_heads
#endif

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	ragged_map m = { TENSOR(qo_indptr), TENSOR(kv_indptr) };

	return prefill_best<TYPE_q, RAGGED_QK, RAGGED_VO, AX_num_qo_heads, AX_num_kv_heads>(
		TENSOR(q), TENSOR(k), TENSOR(v), TENSOR(output), ATTEND_LSE, ATTEND_SINKS, m,
		(int)DIM(qo_indptr, 0) - 1, DIM(q, 0), DIM(k, 0), 1, DIM(k, 0), arg[ARG_sm_scale].scalar, workspace,
		(cudaStream_t)stream);
}
