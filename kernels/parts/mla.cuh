/*
 * mla.cuh - latent attention (MLA): every head of a query row reads the same compressed
 * key (ckv, also the value) and positional key (kpe) of a token.
 *
 * A "row" is one query token: of a decode batch, of a causal prefill (it then sees
 * a part of its request), or of sparse attention (it sees the tokens that are
 * listed). Rows are cut into tiles of 64 tokens, and every block takes an equal
 * run of tiles (as in decode.cuh). 16 heads are the rows of the matrix
 * instruction. Eight warps: each computes the logits of 8 tokens, and then,
 * through shared memory, an eighth of the output's columns.
 */
#pragma once

#include "work.cuh"

struct mla_shape {
	static constexpr int CKV = AX_head_dim_ckv, PE = AX_head_dim_kpe;
	static constexpr int K = CKV + PE;
	static constexpr int H = AX_num_qo_heads;
	static constexpr int HB = (H + 15) / 16;	/* blocks of 16 heads */
	static constexpr int tile = 64, warps = 8, threads = 256;
	static constexpr int row = K * 2, chunks = row / 16;
	static constexpr int kv_bytes = tile * row, q_bytes = 16 * row;
	static constexpr int p_row = tile * 2 + 16;	/* padded: no bank conflicts */
	static constexpr int p_bytes = 16 * p_row;
	/* two tiles in flight where that much shared memory is (not on sm_80), else one */
	static constexpr int smem(int stages)
	{
		return stages * kv_bytes + q_bytes + p_bytes + 16 * 4 * (2 * warps + 4);
	}
	static constexpr int cols = CKV / warps;	/* a warp's share of the output */
	static_assert(CKV % 128 == 0 && K % 64 == 0, "ckv of whole 128s, ckv + kpe of 64s");
};

struct mla_args {
	const ob_bfloat16 *q_nope, *q_pe, *ckv, *kpe;
	ob_bfloat16 *out;
	float *lse, *partial;
	int2 *parts;	/* of [row][block of heads]: the first block and how many */
	float scale;
	int rows;
};

static __device__ __forceinline__ uint32_t mla_at(int r, int c)
{
	return (uint32_t)(r * mla_shape::row + ((c & ~7) | ((c ^ r) & 7)) * 16);
}

/* Blocks of any of these kernels, at most. */
enum { mla_most_blocks = 512 };

/*
 * What a block has of N heads of a row that it shares: the output, not yet divided, in the order of its threads'
 * registers, four of an item; then each head's maximum and sum. The first row of a block is one, its last, which it
 * `opens`, another. An item is of two heads, `head` and `other` more, and of two columns, `col` and `next` more.
 */
template <int HEADS>
struct mla_part {
	static constexpr int N = HEADS, items = N * mla_shape::CKV / 4, HB = (mla_shape::H + N - 1) / N;
	static constexpr int64_t size = items * 4 + N * 2;

	static __device__ __forceinline__ float4 *of(const mla_args &a, int64_t block, bool opens)
	{
		return (float4 *)(a.partial + (block * 2 + opens) * size);
	}
	static __device__ __forceinline__ float2 *ends(float4 *part)
	{
		return (float2 *)(part + items);
	}
};

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

struct mla_cursor {
	int b, hb, len, tiles, t;
	int64_t left;
};

/*
 * M: len(row) tokens, each found by token(row, i) as a row of the caches, -1 none. A row's tiles are read HB times,
 * for a block of heads each.
 */
template <int HB, typename M>
static __device__ __forceinline__ struct run mla_run_of(const mla_args &a, const M &m)
{
	auto units = [&](int b) -> int64_t {
		int n = m.len(b);

		return n <= 0 ? 0 : (int64_t)((n + mla_shape::tile - 1) / mla_shape::tile) * HB;
	};

	return units_run<mla_shape::threads>(a.rows, units, blockIdx.x, gridDim.x);
}

template <typename M>
static __device__ __forceinline__ mla_cursor mla_first(const M &m, const struct run &mine)
{
	mla_cursor c;

	c.b = mine.b;
	c.len = m.len(c.b);
	c.tiles = (c.len + mla_shape::tile - 1) / mla_shape::tile;
	c.hb = (int)(mine.before / c.tiles);
	c.t = (int)(mine.before % c.tiles);
	c.left = mine.to - mine.from;
	return c;
}

template <int HB, typename M>
static __device__ __forceinline__ void mla_next(const M &m, mla_cursor &c)
{
	c.left--;
	if (++c.t < c.tiles || c.left <= 0)
		return;
	c.t = 0;
	if (++c.hb < HB)
		return;
	c.hb = 0;
	do {
		c.len = m.len(++c.b);
	} while (c.len <= 0);
	c.tiles = (c.len + mla_shape::tile - 1) / mla_shape::tile;
}

/* Rows without a token; by so many threads. */
template <int HB, typename M>
static __device__ void mla_empty(const mla_args &a, const M &m, int threads)
{
	using S = mla_shape;

	for (int i = blockIdx.x; i < a.rows; i += gridDim.x) {
		if (m.len(i) > 0)
			continue;
		for (int k = threadIdx.x; k < S::H * S::CKV; k += threads)
			a.out[(int64_t)i * S::H * S::CKV + k] = from_float<ob_bfloat16>(0);
		for (int k = threadIdx.x; k < S::H; k += threads)
			a.lse[(int64_t)i * S::H + k] = -INFINITY;
		for (int k = threadIdx.x; k < HB; k += threads)
			a.parts[i * HB + k] = make_int2(0, 0);
	}
}

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
			keep = top == -INFINITY ? 1 : exp2f(mx[h] - top);
			by = top == -INFINITY ? 0 : top;
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
			inv = sum == 0 ? 0 : 1 / sum;
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

/*
 * Rows that several blocks worked on: a thread merges an item, of every `groups`-th part; there may be hundreds of
 * parts of one row, or two or three each of many. Eight parts are loaded at once.
 */
enum { mla_mergers = 256 };

template <typename P>
static __global__ void __launch_bounds__(mla_mergers) mla_merge(mla_args a, int groups)
{
	using S = mla_shape;
	constexpr int most = 8;
	__shared__ float4 shares[mla_mergers], share_ends[mla_mergers];
	int each = mla_mergers / groups, group = threadIdx.x / each, item = blockIdx.x * each + threadIdx.x % each;
	int head = P::head(item), col = P::col(item);
	/* `top` and what a part has: x, y of a head's maximum and sum, z, w of the other's */
	float4 o = make_float4(0, 0, 0, 0), top = make_float4(-INFINITY, 0, -INFINITY, 0);
	auto weight = [](float m, float most) { return most == -INFINITY ? 0 : exp2f(m - most); };
	auto merge = [&](int from, int n, int step, auto ends, auto values) {
		for (; from < n; from += most * step) {
			float4 e[most], v[most];
			float x = top.x, z = top.z;

			#pragma unroll
			for (int k = 0; k < most; k++) {
				int i = from + k * step;

				e[k] = i < n ? ends(i) : make_float4(-INFINITY, 0, -INFINITY, 0);
				v[k] = i < n ? values(i) : make_float4(0, 0, 0, 0);
			}
			#pragma unroll
			for (int k = 0; k < most; k++) {
				x = fmaxf(x, e[k].x);
				z = fmaxf(z, e[k].z);
			}
			/* what there was so far shrinks by the change of the maximum */
			float w = weight(top.x, x), u = weight(top.z, z);

			o = make_float4(o.x * w, o.y * w, o.z * u, o.w * u);
			top = make_float4(x, top.y * w, z, top.w * u);
			#pragma unroll
			for (int k = 0; k < most; k++) {
				w = weight(e[k].x, x);
				u = weight(e[k].z, z);
				top.y += w * e[k].y;
				top.w += u * e[k].w;
				o = make_float4(o.x + w * v[k].x, o.y + w * v[k].y, o.z + u * v[k].z, o.w + u * v[k].w);
			}
		}
	};

#if __CUDA_ARCH__ >= 900
	/* launched while the kernel before still works */
	asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
	int2 parts = a.parts[blockIdx.y];
	auto part = [&](int i) { return P::of(a, parts.x + i, i == 0); };

	if (parts.y < 2)
		return;
	merge(group, parts.y, groups, [&](int i) {
		float2 e = P::ends(part(i))[head], f = P::ends(part(i))[head + P::other];

		return make_float4(e.x, e.y, f.x, f.y);
	}, [&](int i) { return part(i)[item]; });
	if (groups > 1) {
		shares[threadIdx.x] = o;
		share_ends[threadIdx.x] = top;
		__syncthreads();
		if (group)
			return;
		merge(1, groups, 1, [&](int i) { return share_ends[i * each + threadIdx.x]; },
		      [&](int i) { return shares[i * each + threadIdx.x]; });
	}
	#pragma unroll
	for (int k = 0; k < 2; k++) {
		float m = k ? top.z : top.x, sum = k ? top.w : top.y, inv = sum == 0 ? 0 : 1 / sum;
		int h = blockIdx.y % P::HB * P::N + head + k * P::other;
		int64_t at = (int64_t)(blockIdx.y / P::HB) * S::H + h;

		if (h >= S::H)
			continue;
		a.out[at * S::CKV + col] = from_float<ob_bfloat16>((k ? o.z : o.x) * inv);
		a.out[at * S::CKV + col + P::next] = from_float<ob_bfloat16>((k ? o.w : o.y) * inv);
		if (col == 0)
			a.lse[at] = sum == 0 ? -INFINITY : m + log2f(sum);
	}
}

/* Scratch memory of a kernel with so many blocks. */
template <typename P>
static size_t mla_scratch(int64_t rows, int blocks)
{
	return (size_t)blocks * 2 * P::size * 4 + (size_t)rows * P::HB * sizeof(int2);
}

template <typename P>
static void mla_place(mla_args &a, void *workspace, int blocks)
{
	a.partial = (float *)workspace;
	a.parts = (int2 *)(a.partial + (size_t)blocks * 2 * P::size);
}

/* `blocks`: those that the rows were shared out between. */
template <typename P>
static int mla_merge_all(const mla_args &a, int blocks, cudaStream_t stream)
{
	using S = mla_shape;
	constexpr int most = 65535 / P::HB;
	cudaLaunchAttribute early = {};
	cudaLaunchConfig_t config = {};

	early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
	early.val.programmaticStreamSerializationAllowed = 1;
	config.blockDim = dim3(mla_mergers);
	config.stream = stream;
	config.attrs = &early;
	for (int64_t row = 0; row < a.rows; row += most) {
		mla_args some = a;
		int rows = (int)(a.rows - row < most ? a.rows - row : most);
		int grid = P::items / mla_mergers * rows * P::HB, groups = 1;

		/* more groups where a row has many parts, as far as all of them find a place at once */
		while (groups < 32 && blocks > 8 * groups * rows && 2 * groups * grid <= 4 * sm_count())
			groups *= 2;
		some.out += row * S::H * S::CKV;
		some.lse += row * S::H;
		some.parts += row * P::HB;
		config.gridDim = dim3(P::items * groups / mla_mergers, rows * P::HB);
		config.numAttrs = P::early && row == 0;
		cudaLaunchKernelEx(&config, mla_merge<P>, some, groups);
	}
	return cudaGetLastError();
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

#define MLA_ARGS { TENSOR(q_nope), TENSOR(q_pe), TENSOR(ckv_cache), TENSOR(kpe_cache), \
	TENSOR(output), TENSOR(lse), nullptr, nullptr, \
	(float)(arg[ARG_sm_scale].scalar * 1.4426950408889634), (int)DIM(q_nope, 0) }

#ifdef ARG_kv_last_page_len
#define MLA_LAST TENSOR(kv_last_page_len)
#else
#define MLA_LAST nullptr
#endif
