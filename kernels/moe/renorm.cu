/* The best experts by their logits, weights by a softmax over these alone. */
#include "moe_fp8.cuh"

enum { RN_EXPERTS = AX_num_local_experts, RN_PER = (RN_EXPERTS + 31) / 32 };

static __global__ void __launch_bounds__(128) renorm_route(moe_args a, const TYPE_routing_logits *logits)
{
	int warp = threadIdx.x / 32, lane = threadIdx.x % 32, token = blockIdx.x * 4 + warp;
	float score[RN_PER], w, top;

	if (token >= a.tokens)
		return;
	#pragma unroll
	for (int i = 0; i < RN_PER; i++)
		score[i] = i * 32 + lane < RN_EXPERTS ?
			to_float(logits[(int64_t)token * RN_EXPERTS + i * 32 + lane]) : -INFINITY;
	int mine = moe_top<RN_PER>(score, RN_EXPERTS);
	w = lane < moe_shape::TOP && mine >= 0 ?
		to_float(logits[(int64_t)token * RN_EXPERTS + mine]) : -INFINITY;
	top = warp_max(w);
	w = expf(w - top);
	w /= warp_sum(w);
	if (lane < moe_shape::TOP) {
		a.expert[token * moe_shape::TOP + lane] = mine;
		a.weight[token * moe_shape::TOP + lane] = w;
		if (mine >= 0)
			atomicAdd(a.count + mine, 1);
	}
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	cudaStream_t st = (cudaStream_t)stream;
	moe_args a = moe_begin(arg, workspace, st);

	if (!a.tokens)
		return 0;
	renorm_route<<<(a.tokens + 3) / 4, 128, 0, st>>>(a, TENSOR(routing_logits));
	return moe_experts(a, st);
}
