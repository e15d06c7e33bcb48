/* Token by token, as FlashInfer has it. */
#include "kda.cuh"

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	return kda_run(arg, TENSOR(cu_seqlens), stream);
}
