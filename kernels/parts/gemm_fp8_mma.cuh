/* gemm_fp8_mma.cuh - out = a b^T of float8 with scales, by mma: from sm_80 on. */
#pragma once

#include "fp8_mma.cuh"

/* SCALES: of a token, of a block of 128 rows of weights, for the k-th 128 along K. */
template <int BM, typename SCALES>
static __global__ void __launch_bounds__(128)
gemm_fp8_kernel(const ob_float8_e4m3fn *a, const ob_float8_e4m3fn *b, SCALES scales, ob_bfloat16 *out, int m)
{
	using T = fp8_tile<BM, false>;
	extern __shared__ __align__(128) char smem[];
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32, first = blockIdx.y * BM, column = blockIdx.x * T::BN;
	float acc[T::MT][T::NT][4];
	auto left = [&](int r) -> struct fp8_row {
		return { (const char *)(a + (int64_t)min(first + r, m - 1) * AX_K), first + r < m };
	};
	auto right = [&](int r) -> struct fp8_row {
		return { (const char *)(b + (int64_t)min(column + r, AX_N - 1) * AX_K), column + r < AX_N };
	};

	fp8_product<BM, false, AX_K>(smem, acc, left, right,
		[&](int k, int, int r) { return first + r < m ? scales.token(first + r, k) : 0; },
		[&](int k) { return scales.weight(blockIdx.x, k); });
	#pragma unroll
	for (int i = 0; i < T::MT * T::NT * 4; i++) {
		int row = first + i / T::NT / 4 * 16 + i / 2 % 2 * 8 + lane / 4;
		int at = column + warp * 32 + i / 4 % T::NT * 8 + lane % 4 * 2 + i % 2;

		if (row < m && at < AX_N)
			out[(int64_t)row * AX_N + at] = from_float<ob_bfloat16>(acc[i / T::NT / 4][i / 4 % T::NT][i % 4]);
	}
}

template <int BM, typename SCALES>
static void gemm_fp8_tiles(const ob_float8_e4m3fn *a, const ob_float8_e4m3fn *b, SCALES scales, ob_bfloat16 *out, int m,
			   cudaStream_t stream)
{
	using T = fp8_tile<BM, false>;
	auto kernel = gemm_fp8_kernel<BM, SCALES>;
	static int ready;

	if (!ready)
		cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, T::smem);
	ready = 1;
	kernel<<<dim3((AX_N + T::BN - 1) / T::BN, (m + BM - 1) / BM), 128, T::smem, stream>>>(a, b, scales, out, m);
}

/* m is not 0. */
template <typename SCALES>
static int gemm_fp8(const ob_float8_e4m3fn *a, const ob_float8_e4m3fn *b, SCALES scales, ob_bfloat16 *out, int m, cudaStream_t stream)
{
	if (m <= 16)
		gemm_fp8_tiles<16>(a, b, scales, out, m, stream);
	else
		gemm_fp8_tiles<64>(a, b, scales, out, m, stream);
	return cudaGetLastError();
}
