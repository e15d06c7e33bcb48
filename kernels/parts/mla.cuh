/*
 * mla.cuh - latent attention of single rows, for any GPU from sm_80 on.
 *
 * 16 heads are the rows of the matrix instruction. Eight warps: each computes the logits of 8 tokens, and then,
 * through shared memory, an eighth of the output's columns.
 */
#pragma once

#include "mla_rows.cuh"

static __device__ __forceinline__ uint32_t mla_at(int r, int c)
{
	return (uint32_t)(r * mla_shape::row + ((c & ~7) | ((c ^ r) & 7)) * 16);
}

/* Heads are the rows of the matrix instruction. */
struct mla_wide : mla_part<16> {
	static constexpr int other = 8, next = 1;
	static constexpr bool early = false;	/* whether the merging may be launched early: not on sm_80 */

	static __device__ __forceinline__ int head(int item) { return item % 32 / 4; }
	static __device__ __forceinline__ int col(int item)
	{
		return item % mla_shape::threads / 32 * mla_shape::cols + item / mla_shape::threads * 8 +
			item % 4 * 2;
	}
};

template <typename M>
static __device__ void mla_copy(const mla_args &a, const M &m, const mla_cursor &c,
				uint32_t to)
{
	using S = mla_shape;
	constexpr int lanes = 8, step = S::threads / lanes;
	int lane = threadIdx.x % lanes, r0 = threadIdx.x / lanes;

	#pragma unroll
	for (int i = 0; i < S::tile / step; i++) {
		int r = r0 + i * step, n = c.t * S::tile + r;
		int64_t at = n < c.len ? m.token(c.b, n) : -1;
		bool there = at >= 0;

		at = there ? at : 0;
		#pragma unroll
		for (int k = 0; k < S::chunks; k += lanes) {
			int col = k + lane;
			const ob_bfloat16 *from = col < S::CKV / 8 ? a.ckv + at * S::CKV + col * 8 :
				a.kpe + at * S::PE + (col - S::CKV / 8) * 8;

			copy16(to + mla_at(r, col), from, there);
		}
	}
}

static __device__ void mla_copy_q(const mla_args &a, int b, int hb, uint32_t to)
{
	using S = mla_shape;

	for (int k = threadIdx.x; k < 16 * S::chunks; k += S::threads) {
		int r = k / S::chunks, col = k % S::chunks, head = hb * 16 + r;
		int64_t at = (int64_t)b * S::H + (head < S::H ? head : 0);

		copy16(to + mla_at(r, col), col < S::CKV / 8 ? a.q_nope + at * S::CKV + col * 8 :
		       a.q_pe + at * S::PE + (col - S::CKV / 8) * 8, head < S::H);
	}
}

template <int STAGES, typename M>
static __global__ void __launch_bounds__(mla_shape::threads, 1)
mla_kernel(mla_args a, M m)
{
	using S = mla_shape;
	extern __shared__ __align__(128) char smem[];
	char *q = smem + STAGES * S::kv_bytes, *p_at = q + S::q_bytes;
	float *wmax = (float *)(p_at + S::p_bytes), *wsum = wmax + 16 * S::warps;
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32, stage = 0;
	uint32_t base = smem_at(smem), qs = smem_at(q), ps = smem_at(p_at);
	struct run mine = mla_run_of<S::HB>(a, m);
	mla_cursor put, get;
	float o[S::cols / 8][4], mx[2], l[2];
	bool fresh = true;

	mla_empty<S::HB>(a, m, S::threads);
	if (mine.from >= mine.to)
		return;
	get = put = mla_first(m, mine);
	mla_copy_q(a, get.b, get.hb, qs);
	if (STAGES == 2) {
		mla_copy(a, m, put, base);
		mla_next<S::HB>(m, put);
	}
	copy_commit();
	while (get.left > 0) {
		uint32_t kv = base + stage * S::kv_bytes;

		if (put.left > 0) {
			mla_copy(a, m, put, base + (STAGES == 2 ? stage ^ 1 : 0) * S::kv_bytes);
			mla_next<S::HB>(m, put);
		}
		copy_commit();
		copy_wait<STAGES - 1>();
		__syncthreads();
		if (fresh) {
			#pragma unroll
			for (int i = 0; i < S::cols / 8; i++)
				o[i][0] = o[i][1] = o[i][2] = o[i][3] = 0;
			mx[0] = mx[1] = -INFINITY;
			l[0] = l[1] = 0;
		}
		fresh = false;
		/* logits of this warp's 8 tokens */
		float s[4] = {}, s2[4] = {};
		#pragma unroll 6
		for (int k = 0; k < S::K / 32; k++) {
			uint32_t qa[4], qb[4], f[4];

			ldm4(qa, qs + mla_at(lane % 16, k * 4 + lane / 16));
			ldm4(qb, qs + mla_at(lane % 16, k * 4 + 2 + lane / 16));
			ldm4(f, kv + mla_at(warp * 8 + lane % 8, k * 4 + lane / 8));
			mma(s, qa, f[0], f[1], ob_bfloat16());
			mma(s2, qb, f[2], f[3], ob_bfloat16());
		}
		#pragma unroll
		for (int e = 0; e < 4; e++) {
			int n = get.t * S::tile + warp * 8 + lane % 4 * 2 + e % 2;
			bool there = n < get.len && m.there(get.b, n);

			s[e] = there ? (s[e] + s2[e]) * a.scale : -INFINITY;
		}
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			float v = fmaxf(s[h * 2], s[h * 2 + 1]);

			v = quad_max(v);
			if (lane % 4 == 0)
				wmax[(lane / 4 + h * 8) * S::warps + warp] = v;
		}
		__syncthreads();
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			int r = lane / 4 + h * 8;
			float top = mx[h], keep, by, x, y;

			#pragma unroll
			for (int i = 0; i < S::warps; i++)
				top = fmaxf(top, wmax[r * S::warps + i]);
			keep = softmax_keep(mx[h], top);
			by = softmax_base(top);
			x = exp2f(s[h * 2] - by);
			y = exp2f(s[h * 2 + 1] - by);
			*(uint32_t *)(p_at + r * S::p_row + (warp * 8 + lane % 4 * 2) * 2) =
				pack2<ob_bfloat16>(x, y);
			l[h] = l[h] * keep + x + y;	/* of this thread's columns */
			mx[h] = top;
			#pragma unroll
			for (int i = 0; i < S::cols / 8; i++) {
				o[i][h * 2] *= keep;
				o[i][h * 2 + 1] *= keep;
			}
		}
		__syncthreads();
		#pragma unroll
		for (int k = 0; k < S::tile / 16; k++) {
			uint32_t pa[4], f[4];

			ldm4(pa, ps + (lane % 16) * S::p_row + (k * 16 + lane / 16 * 8) * 2);
			#pragma unroll
			for (int i = 0; i < S::cols / 16; i++) {
				ldm4t(f, kv + mla_at(k * 16 + lane % 16,
						     (warp * S::cols) / 8 + i * 2 + lane / 16));
				mma(o[i * 2], pa, f[0], f[1], ob_bfloat16());
				mma(o[i * 2 + 1], pa, f[2], f[3], ob_bfloat16());
			}
		}
		stage = STAGES == 2 ? stage ^ 1 : 0;
		if (get.t + 1 < get.tiles && get.left > 1) {
			mla_next<S::HB>(m, get);
			__syncthreads();
			continue;
		}
		/* the end of a row's heads, or of this block's run */
		int64_t start = mine.to - get.left - get.t;	/* the row's first tile */
		int64_t c0 = units_block(mine, start), c1 = units_block(mine, start + get.tiles - 1);
		int64_t head = (int64_t)get.b * S::H + get.hb * 16;
		float4 *part = mla_wide::of(a, blockIdx.x, blockIdx.x == c0);

		if (c0 != c1)
			#pragma unroll
			for (int i = 0; i < S::cols / 8; i++)
				part[i * S::threads + threadIdx.x] = make_float4(o[i][0], o[i][1], o[i][2], o[i][3]);
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			float v = l[h];

			v = quad_sum(v);
			if (lane % 4 == 0)
				wsum[(lane / 4 + h * 8) * S::warps + warp] = v;
		}
		__syncthreads();
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			int r = lane / 4 + h * 8;
			float sum = 0, inv;

			#pragma unroll
			for (int i = 0; i < S::warps; i++)
				sum += wsum[r * S::warps + i];
			inv = a.gaps && sum == 0 ? 0 : 1 / sum;
			if (c0 != c1) {
				if (warp == 0 && lane % 4 == 0)
					mla_wide::ends(part)[r] = make_float2(mx[h], sum);
				continue;
			}
			if (get.hb * 16 + r >= S::H)
				continue;
			#pragma unroll
			for (int i = 0; i < S::cols / 8; i++)
				*(uint32_t *)(a.out + (head + r) * S::CKV + warp * S::cols + i * 8 + lane % 4 * 2) =
					pack2<ob_bfloat16>(o[i][h * 2] * inv, o[i][h * 2 + 1] * inv);
			if (warp == 0 && lane % 4 == 0)
				a.lse[head + r] = sum == 0 ? -INFINITY : mx[h] + log2f(sum);
		}
		if (threadIdx.x == 0 && blockIdx.x == c0)
			a.parts[get.b * S::HB + get.hb] = make_int2((int)c0, (int)(c1 - c0 + 1));
		mla_next<S::HB>(m, get);
		__syncthreads();
		if (get.left > 0) {
			mla_copy_q(a, get.b, get.hb, qs);
			copy_commit();
			copy_wait<0>();
			__syncthreads();
		}
		fresh = true;
	}
}

static inline int mla_blocks(void)
{
	return sm_count() < mla_most_blocks ? sm_count() : mla_most_blocks;
}

static inline size_t mla_workspace(int64_t rows)
{
	return mla_scratch<mla_wide>(rows, mla_blocks());
}

template <typename M>
static int mla_run(mla_args a, M m, void *workspace, cudaStream_t stream)
{
	static int stages;
	int dev = 0, most = 0;

	if (!stages) {
		cudaGetDevice(&dev);
		cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, dev);
		stages = most >= mla_shape::smem(2) + 1024 ? 2 : 1;
		cudaFuncSetAttribute(mla_kernel<2, M>, cudaFuncAttributeMaxDynamicSharedMemorySize,
				     mla_shape::smem(2));
		cudaFuncSetAttribute(mla_kernel<1, M>, cudaFuncAttributeMaxDynamicSharedMemorySize,
				     mla_shape::smem(1));
		cudaGetLastError();
	}
	mla_place<mla_wide>(a, workspace, mla_blocks());
	if (a.rows && stages == 2)
		mla_kernel<2><<<mla_blocks(), mla_shape::threads, mla_shape::smem(2), stream>>>(a, m);
	else if (a.rows)
		mla_kernel<1><<<mla_blocks(), mla_shape::threads, mla_shape::smem(1), stream>>>(a, m);
	return mla_merge_all<mla_wide>(a, mla_blocks(), stream);
}
