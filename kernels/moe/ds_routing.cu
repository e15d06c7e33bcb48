/* DeepSeek-V3's routing without auxiliary loss: groups by their two best, then the best of these. */
#include "moe_fp8.cuh"

enum { DS_EXPERTS = AX_num_experts, DS_GROUPS = P_n_group, DS_KEEP = P_topk_group,
	DS_PER = (DS_EXPERTS + 31) / 32, DS_SIZE = DS_EXPERTS / DS_GROUPS };

static __global__ void __launch_bounds__(128)
ds_route(moe_args a, const float *logits, const ob_bfloat16 *bias, int local, float factor)
{
	__shared__ float biased[4][DS_EXPERTS], plain[4][DS_EXPERTS];
	int warp = threadIdx.x / 32, lane = threadIdx.x % 32, token = blockIdx.x * 4 + warp;
	float score[DS_PER], group = -INFINITY, sum;
	unsigned kept = 0;

	if (token >= a.tokens)
		return;
	for (int e = lane; e < DS_EXPERTS; e += 32) {
		float s = 1 / (1 + expf(-logits[(int64_t)token * DS_EXPERTS + e]));

		plain[warp][e] = s;
		biased[warp][e] = s + __bfloat162float(bias[e]);
	}
	__syncwarp();
	if (lane < DS_GROUPS) {
		float one = -INFINITY, two = -INFINITY;

		for (int i = 0; i < DS_SIZE; i++) {
			float s = biased[warp][lane * DS_SIZE + i];

			two = fmaxf(two, fminf(one, s));
			one = fmaxf(one, s);
		}
		group = one + two;
	}
	for (int k = 0; k < DS_KEEP; k++) {
		float best = group;
		int at = lane;

		for (int o = 16; o; o >>= 1) {
			float b = __shfl_xor_sync(~0u, best, o);
			int x = __shfl_xor_sync(~0u, at, o);

			if (b > best || (b == best && x < at)) {
				best = b;
				at = x;
			}
		}
		kept |= 1u << at;
		if (lane == at)
			group = -INFINITY;
	}
	#pragma unroll
	for (int i = 0; i < DS_PER; i++) {
		int e = i * 32 + lane;

		score[i] = e < DS_EXPERTS && kept >> (e / DS_SIZE) & 1 ? biased[warp][e] : -INFINITY;
	}
	int mine = moe_top<DS_PER>(score, DS_EXPERTS);
	float w = lane < moe_shape::TOP && mine >= 0 ? plain[warp][mine] : 0;
	sum = warp_sum(w) + 1e-20f;
	if (lane < moe_shape::TOP) {
		int e = mine - local;
		bool here = mine >= 0 && e >= 0 && e < moe_shape::E;

		a.expert[token * moe_shape::TOP + lane] = here ? e : -1;
		a.weight[token * moe_shape::TOP + lane] = w / sum * factor;
		if (here)
			atomicAdd(a.count + e, 1);
	}
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	cudaStream_t st = (cudaStream_t)stream;
	moe_args a = moe_begin(arg, workspace, st);

	if (!a.tokens)
		return 0;
	ds_route<<<(a.tokens + 3) / 4, 128, 0, st>>>(a, TENSOR(routing_logits), TENSOR(routing_bias),
			(int)arg[ARG_local_expert_offset].scalar,
			(float)arg[ARG_routed_scaling_factor].scalar);
	return moe_experts(a, st);
}
