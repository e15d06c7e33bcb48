/*
 * Activations as float8 with a scale for each token and group of neighbours. Memory-bound: a group is read once, by as
 * many threads as have 16 bytes each, at most a warp.
 */
#include "cuda.cuh"

struct group_shape {
	static constexpr int n = vec<TYPE_x>::n, vectors = AX_group_size / n;
	static constexpr int threads = vectors % 32 == 0 ? 32 : vectors % 16 == 0 ? 16 : vectors % 8 == 0 ? 8 :
		vectors % 4 == 0 ? 4 : vectors % 2 == 0 ? 2 : 1;
	static constexpr int each = vectors / threads;	/* vectors a thread */
	static_assert(AX_group_size % n == 0, "groups of whole 16-byte vectors");
};

/* The greater one, or not-a-number if any is, as torch.amax() has it. */
static __device__ __forceinline__ float group_max(float a, float b)
{
	return a != a || a > b ? a : b;
}

static __global__ void __launch_bounds__(256) group_kernel(const TYPE_x *x, ob_float8_e4m3fn *quantized, float *scales,
							   int64_t groups)
{
	using S = group_shape;
	int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, group = i / S::threads;
	int lane = (int)(i % S::threads);
	vec<TYPE_x> v[S::each];
	float top = 0;

	/* all of a warp take part in its shuffles */
	#pragma unroll
	for (int k = 0; k < S::each; k++) {
		v[k] = group < groups ? load16(x + group * AX_group_size + (k * S::threads + lane) * S::n) : vec<TYPE_x>{};
		#pragma unroll
		for (int j = 0; j < S::n; j++)
			top = group_max(fabsf(to_float(v[k].v[j])), top);
	}
	#pragma unroll
	for (int o = S::threads / 2; o; o /= 2)
		top = group_max(__shfl_xor_sync(~0u, top, o), top);
	if (group >= groups)
		return;
	float scale = (top < 1e-10f ? 1e-10f : top) / 448;

	#pragma unroll
	for (int k = 0; k < S::each; k++) {
		vec<ob_float8_e4m3fn> out;

		#pragma unroll
		for (int j = 0; j < S::n; j++)
			out.v[j] = ob_float8_e4m3fn(to_float(v[k].v[j]) / scale);
		static_assert(S::n == 8, "16-bit activations");
		*(uint2 *)(quantized + group * AX_group_size + (k * S::threads + lane) * S::n) = *(uint2 *)out.v;
	}
	if (lane == 0)
		scales[group] = scale;
}

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	int64_t groups = DIM(x, 0) * AX_num_groups, threads = groups * group_shape::threads;

	if (groups)
		group_kernel<<<(unsigned)((threads + 255) / 256), 256, 0, (cudaStream_t)stream>>>(
			TENSOR(x), TENSOR(quantized), TENSOR(scales), groups);
	return cudaGetLastError();
}
