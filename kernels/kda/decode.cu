#include "kda.cuh"

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	static_assert(AX_seq_len == 1, "one token a request");
	return kda_run(arg, nullptr, stream);
}
