/* Chunks where a sequence may be long and the device has the shared memory for them (heads of up to 128), else a token at a time. */
#include "axes.h"
#if AX_head_dim <= 128
#include "kda_chunks.cuh"
#else
#include "kda.cuh"

static size_t kda_memory(int64_t, int64_t)
{
	return 0;
}

static bool kda_long(struct kda_args &, int64_t, int64_t, char *, cudaStream_t)
{
	return false;
}
#endif

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	return kda_memory(DIM(q, 0), DIM(state, 0));
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	struct kda_args a = { TENSOR(q), TENSOR(k), TENSOR(v), TENSOR(g), TENSOR(beta), TENSOR(state), TENSOR(cu_seqlens), TENSOR(output),
		TENSOR(new_state), (float)arg[ARG_scale].scalar, nullptr };
	int64_t tokens = DIM(q, 0), seqs = DIM(state, 0);

	/* where all are short, nothing but steps */
	if (seqs && tokens >= kda_few)
		kda_long(a, tokens, seqs, (char *)workspace, (cudaStream_t)stream);
	return kda_steps<4>(a, seqs, (cudaStream_t)stream);
}
