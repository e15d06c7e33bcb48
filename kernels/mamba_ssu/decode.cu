/*
 * Selective state update of Mamba2, one token a request:
 *	S = S exp(A dt) + dt x B;  out = S C + D x, dt = softplus(dt + dt_bias)
 *
 * The output holds the whole pool, so all of it is copied, by the device's copies, and then the slots that a request
 * names are computed from the old ones; bound by reading and writing the pool. A warp takes a row of the state.
 */
#include "cuda.cuh"

struct ssu {
	static constexpr int H = AX_nheads, P = AX_head_dim, N = AX_dstate, G = AX_ngroups;
	static constexpr int each = N / 32;
	static_assert(N % 128 == 0 || N == 64, "dstate 64 or whole 128s");
};

static __global__ void ssu_find(const int *slots, int *owner, int batch)
{
	int b = blockIdx.x * blockDim.x + threadIdx.x;

	/* where two requests name one slot, the last one stands, as in the reference */
	if (b < batch && slots[b] >= 0)
		atomicMax(owner + slots[b], b + 1);
}

static __global__ void __launch_bounds__(256)
ssu_step(const ob_bfloat16 *state, const ob_bfloat16 *x, const ob_bfloat16 *dt, const float *A,
	 const ob_bfloat16 *B, const ob_bfloat16 *C, const ob_bfloat16 *D,
	 const ob_bfloat16 *bias, const int *slots, const int *owner, ob_bfloat16 *out,
	 ob_bfloat16 *new_state)
{
	using S = ssu;
	int head = blockIdx.y, lane = threadIdx.x % 32, group = head / (S::H / S::G);
	int64_t b = blockIdx.z;
	int p = blockIdx.x * 8 + threadIdx.x / 32, slot = slots[b];
	int64_t hp = (int64_t)head * S::P + p, at = (b * S::H + head) * S::P + p;
	float d, xv, y = 0, s[S::each];

	if (p >= S::P)
		return;
	if (slot < 0) {
		if (lane == 0)
			out[at] = __float2bfloat16_rn(0);
		return;
	}
	xv = __bfloat162float(x[at]);
	d = __bfloat162float(dt[at]) + __bfloat162float(bias[hp]);
	d = d > 20 ? d : log1pf(expf(d));
	#pragma unroll
	for (int i = 0; i < S::each; i += 2) {
		int n = i * 32 + lane * 2;
		int64_t k = ((int64_t)slot * S::H * S::P + hp) * S::N + n;
		__nv_bfloat162 old = *(const __nv_bfloat162 *)(state + k);
		__nv_bfloat162 bv = *(const __nv_bfloat162 *)(B + (b * S::G + group) * S::N + n);
		__nv_bfloat162 cv = *(const __nv_bfloat162 *)(C + (b * S::G + group) * S::N + n);
		float2 av = *(const float2 *)(A + hp * S::N + n);

		s[i] = __low2float(old) * expf(av.x * d) + d * xv * __low2float(bv);
		s[i + 1] = __high2float(old) * expf(av.y * d) + d * xv * __high2float(bv);
		y += s[i] * __low2float(cv) + s[i + 1] * __high2float(cv);
		if (owner[slot] == b + 1)
			*(__nv_bfloat162 *)(new_state + k) = __floats2bfloat162_rn(s[i], s[i + 1]);
	}
	y = warp_sum(y);
	if (lane == 0)
		out[at] = __float2bfloat16_rn(y + xv * __bfloat162float(D[hp]));
}

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	return (size_t)DIM(state, 0) * sizeof(int);
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	cudaStream_t st = (cudaStream_t)stream;
	int batch = (int)DIM(x, 0);
	int *owner = (int *)workspace;
	size_t slots = (size_t)DIM(state, 0);

	cudaMemsetAsync(owner, 0, slots * sizeof(int), st);
	cudaMemcpyAsync(TENSOR(new_state), TENSOR(state), slots * ssu::H * ssu::P * ssu::N * sizeof(ob_bfloat16),
			cudaMemcpyDeviceToDevice, st);
	if (batch) {
		ssu_find<<<(batch + 255) / 256, 256, 0, st>>>(TENSOR(state_batch_indices), owner, batch);
		ssu_step<<<dim3((ssu::P + 7) / 8, ssu::H, (unsigned)batch), 256, 0, st>>>(
			TENSOR(state), TENSOR(x), TENSOR(dt), TENSOR(A), TENSOR(B), TENSOR(C),
			TENSOR(D), TENSOR(dt_bias), TENSOR(state_batch_indices), owner,
			TENSOR(output), TENSOR(new_state));
	}
	return cudaGetLastError();
}
