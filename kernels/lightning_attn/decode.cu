#include "lightning.cuh"

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	return lightning_run(arg, nullptr, stream);
}
