/*
 * mla_rows.cuh - latent attention (MLA), what its kernels for single rows share: every head of a query row reads the
 * same compressed key (ckv, also the value) and positional key (kpe) of a token.
 *
 * A "row" is one query token: of a decode batch, of a causal prefill (it then sees a part of its request), or of
 * sparse attention (it sees the tokens that are listed). Rows are cut into tiles of 64 tokens, and every block takes an
 * equal run of tiles (as in decode.cuh). What a block has of a row that others work on too goes to scratch
 * memory; a kernel of its own merges.
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
	bool gaps;	/* a row's len(row) may be more than its tokens: there may be none, it is then 0 */
};

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

/*
 * Rows that several blocks worked on: a thread merges an item, of every `groups`-th part; there may be hundreds of
 * parts of one row, or two or three each of many. MOST parts are loaded at once: where rows are many, two, and the
 * registers go to more threads.
 */
enum { mla_mergers = 256 };

template <typename P, int MOST>
static __global__ void __launch_bounds__(mla_mergers, MOST <= 2 ? 8 : 1) mla_merge(mla_args a, int groups)
{
	using S = mla_shape;
	__shared__ float4 shares[mla_mergers], share_ends[mla_mergers];
	int each = mla_mergers / groups, group = threadIdx.x / each, item = blockIdx.x * each + threadIdx.x % each;
	int head = P::head(item), col = P::col(item);
	/* `top` and what a part has: x, y of a head's maximum and sum, z, w of the other's */
	float4 o, top;
	auto merge = [&](int from, int n, int step, auto ends, auto values) {
		for (; from < n; from += MOST * step) {
			float4 e[MOST], v[MOST];
			float x = top.x, z = top.z;

			#pragma unroll
			for (int k = 0; k < MOST; k++) {
				int i = from + k * step;

				e[k] = i < n ? ends(i) : make_float4(-INFINITY, 0, -INFINITY, 0);
				v[k] = i < n ? values(i) : make_float4(0, 0, 0, 0);
			}
			#pragma unroll
			for (int k = 0; k < MOST; k++) {
				x = fmaxf(x, e[k].x);
				z = fmaxf(z, e[k].z);
			}
			/* what there was so far shrinks by the change of the maximum */
			float w = softmax_weight(top.x, x), u = softmax_weight(top.z, z);

			o = make_float4(o.x * w, o.y * w, o.z * u, o.w * u);
			top = make_float4(x, top.y * w, z, top.w * u);
			#pragma unroll
			for (int k = 0; k < MOST; k++) {
				w = softmax_weight(e[k].x, x);
				u = softmax_weight(e[k].z, z);
				top.y += w * e[k].y;
				top.w += u * e[k].w;
				o = make_float4(o.x + w * v[k].x, o.y + w * v[k].y, o.z + u * v[k].z, o.w + u * v[k].w);
			}
		}
	};

	launched_early();
	for (int64_t row = blockIdx.y; row < (int64_t)a.rows * P::HB; row += gridDim.y) {
		int2 parts = a.parts[row];
		auto part = [&](int i) { return P::of(a, parts.x + i, i == 0); };

		if (parts.y < 2)
			continue;
		o = make_float4(0, 0, 0, 0);
		top = make_float4(-INFINITY, 0, -INFINITY, 0);
		merge(group, parts.y, groups, [&](int i) {
			float2 e = P::ends(part(i))[head], f = P::ends(part(i))[head + P::other];

			return make_float4(e.x, e.y, f.x, f.y);
		}, [&](int i) { return part(i)[item]; });
		if (groups > 1) {
			shares[threadIdx.x] = o;
			share_ends[threadIdx.x] = top;
			__syncthreads();
			if (group == 0)
				merge(1, groups, 1, [&](int i) { return share_ends[i * each + threadIdx.x]; },
				      [&](int i) { return shares[i * each + threadIdx.x]; });
			__syncthreads();
		}
		#pragma unroll
		for (int k = 0; k < 2 && group == 0; k++) {
			float m = k ? top.z : top.x, sum = k ? top.w : top.y, inv = a.gaps && sum == 0 ? 0 : 1 / sum;
			int h = (int)(row % P::HB) * P::N + head + k * P::other;
			int64_t at = row / P::HB * S::H + h;

			if (h >= S::H)
				continue;
			a.out[at * S::CKV + col] = from_float<ob_bfloat16>((k ? o.z : o.x) * inv);
			a.out[at * S::CKV + col + P::next] = from_float<ob_bfloat16>((k ? o.w : o.y) * inv);
			if (col == 0)
				a.lse[at] = sum == 0 ? -INFINITY : m + log2f(sum);
		}
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
	cudaLaunchAttribute early = {};
	cudaLaunchConfig_t config = {};
	int64_t rows = (int64_t)a.rows * P::HB;
	int grid = P::items / mla_mergers, groups = 1;

	if (!rows)
		return 0;
	/* more groups where a row has many parts, as far as all of them find a place at once */
	while (groups < 32 && blocks > 8 * groups * (int64_t)a.rows && 2 * groups * grid * rows <= 4 * sm_count())
		groups *= 2;
	early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
	early.val.programmaticStreamSerializationAllowed = 1;
	/* not more rows have several parts than there are blocks */
	config.gridDim = dim3(grid * groups, (unsigned)(rows < blocks ? rows : blocks));
	config.blockDim = dim3(mla_mergers);
	config.stream = stream;
	config.attrs = &early;
	config.numAttrs = P::early;
	cudaLaunchKernelEx(&config, blocks > 8 * (int64_t)a.rows ? mla_merge<P, 8> : mla_merge<P, 2>, a, groups);
	return cudaGetLastError();
}

#define MLA_ARGS { TENSOR(q_nope), TENSOR(q_pe), TENSOR(ckv_cache), TENSOR(kpe_cache), \
	TENSOR(output), TENSOR(lse), nullptr, nullptr, \
	(float)(arg[ARG_sm_scale].scalar * 1.4426950408889634), (int)DIM(q_nope, 0) }

#ifdef ARG_kv_last_page_len
#define MLA_LAST TENSOR(kv_last_page_len)
#else
#define MLA_LAST nullptr
#endif
