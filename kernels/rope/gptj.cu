#include "rope.cuh"

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	return rope<false>(arg, (cudaStream_t)stream);
}
