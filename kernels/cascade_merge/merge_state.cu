/* Two attention results over different keys as one: weights 2^(s - max). Memory-bound. */
#include "cuda.cuh"

static __global__ void merge_kernel(const TYPE_v_a *va, const float *sa, const TYPE_v_b *vb,
				    const float *sb, TYPE_v_merged *v, float *s, int64_t vectors)
{
	constexpr int V = vec<TYPE_v_a>::n, of_row = AX_head_dim / V;
	int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, row = i / of_row;

	if (i >= vectors)
		return;
	float x = sa[row], y = sb[row], m = fmaxf(x, y), wx, wy, sum;
	vec<TYPE_v_a> a = load16(va + i * V), b = load16(vb + i * V), r;

	wx = m == -INFINITY ? 0 : exp2f(x - m);
	wy = m == -INFINITY ? 0 : exp2f(y - m);
	sum = wx + wy;
	wx = sum > 0 ? wx / sum : 0;
	wy = sum > 0 ? wy / sum : 0;
	#pragma unroll
	for (int k = 0; k < V; k++)
		r.v[k] = from_float<TYPE_v_a>((wx ? to_float(a.v[k]) * wx : 0) +
					      (wy ? to_float(b.v[k]) * wy : 0));
	store16(v + i * V, r);
	if (i % of_row == 0)
		s[row] = sum == 0 ? -INFINITY : m + log2f(sum);
}

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	int64_t n = DIM(v_a, 0) * DIM(v_a, 1) * (AX_head_dim / vec<TYPE_v_a>::n);

	static_assert(AX_head_dim % vec<TYPE_v_a>::n == 0, "rows of whole 16-byte vectors");
	if (n)
		merge_kernel<<<(unsigned)((n + 255) / 256), 256, 0, (cudaStream_t)stream>>>(
			TENSOR(v_a), TENSOR(s_a), TENSOR(v_b), TENSOR(s_b), TENSOR(v_merged),
			TENSOR(s_merged), n);
	return cudaGetLastError();
}
