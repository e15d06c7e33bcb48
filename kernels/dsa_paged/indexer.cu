/*
 * Scores of all tokens of a request, sum over heads of w relu(q k), and the topk best of
 * them as cache rows. A page has the float8 keys of its tokens and then their scales.
 *
 * First the scores, a block for each 128 tokens: float8 is widened exactly to float16 for
 * the matrix instruction, the 64 heads are its rows. Then a block a request selects
 * by the bits of the scores, eleven at a time.
 */
#include "cuda.cuh"

struct idx {
	static constexpr int H = AX_num_index_heads, D = AX_index_head_dim, PS = AX_page_size;
	static constexpr int W = AX_head_dim_with_scale, K = AX_topk;
	static constexpr int tile = 128, warps = 4, row = D * 2, chunks = row / 16;
	static constexpr int smem = (H + tile) * row + H * 4 + tile * 4;
	static_assert(W == D + 4 && D % 64 == 0 && H % 16 == 0, "float8 keys and a float32 scale");
};

static __device__ __forceinline__ uint32_t idx_at(int r, int c)
{
	return (uint32_t)(r * idx::row + ((c & ~7) | ((c ^ r) & 7)) * 16);
}

/* 16 float8 to 32 bytes of float16, as two chunks of a row. */
static __device__ __forceinline__ void idx_widen(char *to, int r, int c, uint4 v)
{
	const __nv_fp8x2_storage_t *p = (const __nv_fp8x2_storage_t *)&v;
	__half2_raw h[8];

	#pragma unroll
	for (int i = 0; i < 8; i++)
		h[i] = __nv_cvt_fp8x2_to_halfraw2(p[i], __NV_E4M3);
	*(uint4 *)(to + idx_at(r, c * 2)) = *(uint4 *)h;
	*(uint4 *)(to + idx_at(r, c * 2 + 1)) = *(uint4 *)(h + 4);
}

static __global__ void __launch_bounds__(128)
idx_scores(const uint8_t *q, const uint8_t *cache, const float *weights, const int *lens,
	   const int *table, int pages, float *scores, int64_t stride)
{
	extern __shared__ __align__(128) char smem[];
	char *qs = smem, *ks = smem + idx::H * idx::row;
	float *w = (float *)(ks + idx::tile * idx::row), *scale = w + idx::H;
	int b = blockIdx.y, len = lens[b], first = blockIdx.x * idx::tile;
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

	if (first >= len)
		return;
	for (int i = threadIdx.x; i < idx::H * (idx::D / 16); i += 128)
		idx_widen(qs, i / (idx::D / 16), i % (idx::D / 16),
			  *(const uint4 *)(q + (int64_t)b * idx::H * idx::D + i * 16));
	for (int i = threadIdx.x; i < idx::H; i += 128)
		w[i] = weights[(int64_t)b * idx::H + i];
	for (int i = threadIdx.x; i < idx::tile * (idx::D / 16); i += 128) {
		int r = i / (idx::D / 16), c = i % (idx::D / 16), n = first + r;
		uint4 v = make_uint4(0, 0, 0, 0);

		if (n < len) {
			int64_t page = table[(int64_t)b * pages + n / idx::PS];
			const uint8_t *p = cache + page * idx::PS * idx::W;

			v = *(const uint4 *)(p + n % idx::PS * idx::D + c * 16);
			if (c == 0)
				scale[r] = *(const float *)(p + idx::PS * idx::D + n % idx::PS * 4);
		}
		idx_widen(ks, r, c, v);
	}
	__syncthreads();
	float s[idx::H / 16][4][4] = {};
	uint32_t qa = smem_at(qs), ka = smem_at(ks), f[4], k0[4], k1[4];
	#pragma unroll
	for (int k = 0; k < idx::D / 16; k++) {
		int at = warp * 32 + lane % 8 + lane / 16 * 8;

		ldm4(k0, ka + idx_at(at, k * 2 + lane / 8 % 2));
		ldm4(k1, ka + idx_at(at + 16, k * 2 + lane / 8 % 2));
		#pragma unroll
		for (int m = 0; m < idx::H / 16; m++) {
			ldm4(f, qa + idx_at(m * 16 + lane % 16, k * 2 + lane / 16));
			mma(s[m][0], f, k0[0], k0[1], ob_float16());
			mma(s[m][1], f, k0[2], k0[3], ob_float16());
			mma(s[m][2], f, k1[0], k1[1], ob_float16());
			mma(s[m][3], f, k1[2], k1[3], ob_float16());
		}
	}
	#pragma unroll
	for (int n = 0; n < 4; n++)
		#pragma unroll
		for (int e = 0; e < 2; e++) {
			int r = warp * 32 + n * 8 + lane % 4 * 2 + e;
			float x = first + r < len ? scale[r] : 0, sum = 0;

			#pragma unroll
			for (int m = 0; m < idx::H / 16; m++)
				#pragma unroll
				for (int h = 0; h < 2; h++)
					sum += fmaxf(s[m][n][h * 2 + e] * x, 0) * w[m * 16 + h * 8 + lane / 4];
			sum += __shfl_xor_sync(~0u, sum, 4);
			sum += __shfl_xor_sync(~0u, sum, 8);
			sum += __shfl_xor_sync(~0u, sum, 16);
			if (lane < 4 && first + r < len)
				scores[(int64_t)b * stride + first + r] = sum;
		}
}

/* Bits that have the order of the numbers. */
static __device__ __forceinline__ uint32_t idx_order(float f)
{
	uint32_t u = __float_as_uint(f);

	return u >> 31 ? ~u : u | 0x80000000;
}

static __global__ void __launch_bounds__(1024)
idx_select(const float *scores, const int *lens, const int *table, int pages, int *out,
	   int64_t stride)
{
	__shared__ unsigned bins[2048], warps[32], chosen, above, at;
	int b = blockIdx.x, len = lens[b], want = idx::K;
	const float *s = scores + (int64_t)b * stride;
	uint32_t prefix = 0, done = 0;
	auto row = [&](int n) {
		return table[(int64_t)b * pages + n / idx::PS] * idx::PS + n % idx::PS;
	};

	out += (int64_t)b * idx::K;
	if (len <= idx::K) {
		for (int i = threadIdx.x; i < idx::K; i += 1024)
			out[i] = i < len ? row(i) : -1;
		return;
	}
	for (int level = 0; level < 3; level++) {
		int shift = level == 0 ? 21 : level == 1 ? 10 : 0, width = level == 2 ? 10 : 11;
		unsigned a, c, x;
		int lane = threadIdx.x % 32;

		bins[threadIdx.x] = bins[threadIdx.x + 1024] = 0;
		__syncthreads();
		for (int i = threadIdx.x; i < len; i += 1024) {
			uint32_t u = idx_order(s[i]);

			if (!done || u >> (shift + width) == prefix)
				atomicAdd(&bins[u >> shift & ((1u << width) - 1)], 1);
		}
		__syncthreads();
		/* from the top: thread t has bins 2047 - 2t and 2046 - 2t */
		a = bins[2047 - 2 * threadIdx.x];
		c = bins[2046 - 2 * threadIdx.x];
		x = a + c;
		for (int o = 1; o < 32; o *= 2) {
			unsigned y = __shfl_up_sync(~0u, x, o);

			x += lane >= o ? y : 0;
		}
		if (lane == 31)
			warps[threadIdx.x / 32] = x;
		__syncthreads();
		for (int i = 0; i < (int)threadIdx.x / 32; i++)
			x += warps[i];
		x -= a + c;
		if (x < (unsigned)want && x + a >= (unsigned)want) {
			chosen = 2047 - 2 * threadIdx.x;
			above = x;
		} else if (x + a < (unsigned)want && x + a + c >= (unsigned)want) {
			chosen = 2046 - 2 * threadIdx.x;
			above = x + a;
		}
		__syncthreads();
		prefix = prefix << width | chosen;
		want -= above;
		done = 1;
		__syncthreads();
	}
	if (threadIdx.x == 0)
		at = above = 0;
	__syncthreads();
	/* all that are larger, and as many of the equal ones as are still wanted */
	for (int i = threadIdx.x; i < len; i += 1024) {
		uint32_t u = idx_order(s[i]);

		if (u > prefix)
			out[atomicAdd(&at, 1)] = row(i);
		else if (u == prefix && atomicAdd(&above, 1) < (unsigned)want)
			out[atomicAdd(&at, 1)] = row(i);
	}
}

static int64_t idx_stride(const struct ob_arg *arg)
{
	return DIM(block_table, 1) * idx::PS;
}

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	return (size_t)DIM(seq_lens, 0) * (size_t)idx_stride(arg) * 4;
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	static int ready;
	cudaStream_t st = (cudaStream_t)stream;
	int64_t stride = idx_stride(arg);
	unsigned batch = (unsigned)DIM(seq_lens, 0);

	if (!ready)
		cudaFuncSetAttribute(idx_scores, cudaFuncAttributeMaxDynamicSharedMemorySize, idx::smem);
	ready = 1;
	if (!batch)
		return 0;
	if (stride)
		idx_scores<<<dim3((unsigned)((stride + idx::tile - 1) / idx::tile), batch), 128, idx::smem, st>>>(
			(const uint8_t *)TENSOR(q_index_fp8), (const uint8_t *)TENSOR(k_index_cache_fp8),
			TENSOR(weights), TENSOR(seq_lens), TENSOR(block_table), (int)DIM(block_table, 1),
			(float *)workspace, stride);
	idx_select<<<batch, 1024, 0, st>>>((const float *)workspace, TENSOR(seq_lens),
			TENSOR(block_table), (int)DIM(block_table, 1), TENSOR(topk_indices), stride);
	return cudaGetLastError();
}
