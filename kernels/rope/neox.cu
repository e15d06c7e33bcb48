#include "rope.cuh"

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	return rope<true>(arg, (cudaStream_t)stream);
}
