/*
 * decode.cuh - attention of one query token a request over a paged KV cache
 * (GQA, MHA), split over the KV length.
 *
 * Bound by reading the cache once. All (request, KV head) pairs are cut into tiles of 64 or 32
 * tokens, and every block takes an equal run of tiles, whatever requests they belong to;
 * copies of the next tiles are in flight while one is computed on, across
 * requests too. What a block has of a pair that other blocks share goes to
 * scratch memory; the last of them to finish merges. The query heads of a KV head
 * are the rows of the matrix instruction; a warp takes 16 tokens of a tile.
 */
#pragma once

#include "attend.cuh"
#include "work.cuh"

struct decode_shape {
	static constexpr int D = AX_head_dim, KV = AX_num_kv_heads;
	static constexpr int G = AX_num_qo_heads / KV;
	static constexpr int GB = G < 16 ? G : 16;		/* heads a block row */
	static constexpr int HB = (G + 15) / 16;
	static constexpr int pairs = KV * HB;			/* of a request */
	/* 16 tokens a warp; half as many where a row is long: sm_80 has 163 KiB */
	static constexpr int warps = D <= 128 ? 4 : 2, tile = warps * 16, threads = warps * 32;
	static constexpr int row = D * 2, chunks = row / 16;
	static constexpr int q_bytes = (GB + 1) * row;		/* and a row of zeros */
	static constexpr int stage = 2 * tile * row + q_bytes;
	/* what a warp or block has of a pair, in floats: rows of D, the maximum and the sum; banks apart */
	static constexpr int part_row = D + 8, partial = GB * part_row;
	static constexpr int merge = warps * partial * 4;
	static constexpr int stages = D <= 128 ? 3 : 2;
	static constexpr int smem = stages * stage + merge;
	static constexpr int per_sm = 2 * (smem + 1024) <= 227 * 1024 ? 2 : 1;
	static_assert(D % 64 == 0 && D <= 256, "head_dim 64, 128, 192 or 256");
	static_assert(smem <= 163 * 1024, "sm_80 has that much shared memory");
	static_assert(G % GB == 0, "groups of up to 16, or multiples of 16");
};

struct decode_args {
	const TYPE_q *q;
	const TYPE_k_cache *k, *v;
	const int *indptr, *indices, *last;
	TYPE_q *out;
	const attend_sink *sinks;
	float *lse, *partial;
	int *arrived;
	float scale;		/* times log2(e) */
	int batch;
	int64_t pages;		/* numbers of indices */
};

/* Where a block is in its run of tiles. */
struct decode_cursor {
	int b, pair, skip, len, tiles, t;	/* skip: tokens before the window */
	int64_t left;
};

/* Tokens that request b sees. */
static __device__ __forceinline__ int decode_len(const decode_args &a, int b)
{
	int len = paged_len<AX_page_size>(a.indptr, a.last, b);

	return len - attend_from(len);
}

static __device__ __forceinline__ void decode_open(const decode_args &a, decode_cursor &c, int b)
{
	int len = paged_len<AX_page_size>(a.indptr, a.last, b);

	c.b = b;
	c.skip = attend_from(len);
	c.len = len - c.skip;
	c.tiles = (c.len + decode_shape::tile - 1) / decode_shape::tile;
}

static __device__ __forceinline__ void decode_next(const decode_args &a, decode_cursor &c)
{
	c.left--;
	if (++c.t < c.tiles || c.left <= 0)
		return;
	c.t = 0;
	if (++c.pair < decode_shape::pairs)
		return;
	c.pair = 0;
	do {
		decode_open(a, c, c.b + 1);
	} while (c.len <= 0);
}

/* Chunk c of a row, moved so that neighbouring rows do not share banks. */
static __device__ __forceinline__ uint32_t decode_at(int r, int c)
{
	return (uint32_t)(r * decode_shape::row + ((c & ~7) | ((c ^ r) & 7)) * 16);
}

/* The rows of the cache that this thread copies of a tile; -1 none. */
struct decode_rows {
	static constexpr int lanes = decode_shape::chunks < 16 ? decode_shape::chunks : 16;
	static constexpr int step = decode_shape::threads / lanes;
	int at[decode_shape::tile / step];
};

/* Asked for a tile ahead of its copies, so that these do not wait for the page numbers. */
static __device__ __forceinline__ void decode_fetch(const decode_args &a, const decode_cursor &c,
						    decode_rows &rows)
{
	using R = decode_rows;
	const int *pages = a.indices + a.indptr[c.b];

	if (c.left <= 0)
		return;
	#pragma unroll
	for (int i = 0; i < decode_shape::tile / R::step; i++) {
		int token = c.t * decode_shape::tile + threadIdx.x / R::lanes + i * R::step, at = token + c.skip;

		rows.at[i] = token < c.len ? pages[at / AX_page_size] * AX_page_size + at % AX_page_size : -1;
	}
}

static __device__ __forceinline__ void decode_copy(const decode_args &a, const decode_cursor &c,
						   const decode_rows &rows, uint32_t to, bool with_q)
{
	using S = decode_shape;
	using R = decode_rows;
	int lane = threadIdx.x % R::lanes, head = c.pair / S::HB;

	#pragma unroll
	for (int i = 0; i < S::tile / R::step; i++) {
		int r = threadIdx.x / R::lanes + i * R::step;
		bool there = rows.at[i] >= 0;
		int64_t at = ((int64_t)(there ? rows.at[i] : 0) * S::KV + head) * S::D;

		#pragma unroll
		for (int k = lane; k < S::chunks; k += R::lanes) {
			copy16(to + decode_at(r, k), a.k + at + k * 8, there);
			copy16(to + S::tile * S::row + decode_at(r, k), a.v + at + k * 8, there);
		}
	}
	if (with_q) {
		const TYPE_q *q = a.q + ((int64_t)c.b * AX_num_qo_heads + head * S::G +
					 c.pair % S::HB * 16) * S::D;

		for (int k = threadIdx.x; k < (S::GB + 1) * S::chunks; k += S::threads) {
			int r = k / S::chunks, col = k % S::chunks;

			copy16(to + 2 * S::tile * S::row + decode_at(r, col),
			       r < S::GB ? q + r * S::D + col * 8 : q, r < S::GB);
		}
	}
}

struct decode_state {
	float o[decode_shape::D / 8][4], m[2], l[2];
	uint32_t q[decode_shape::D / 16][4];
};

static __device__ void decode_load_q(decode_state &s, uint32_t q)
{
	int lane = threadIdx.x % 32, r = lane % 16;

	r = r < decode_shape::GB ? r : decode_shape::GB;
	#pragma unroll
	for (int k = 0; k < decode_shape::D / 16; k++)
		ldm4(s.q[k], q + decode_at(r, k * 2 + lane / 16));
	#pragma unroll
	for (int i = 0; i < decode_shape::D / 8; i++)
		s.o[i][0] = s.o[i][1] = s.o[i][2] = s.o[i][3] = 0;
	s.m[0] = s.m[1] = -INFINITY;
	s.l[0] = s.l[1] = 0;
}

/* One warp's 16 tokens of a tile. */
static __device__ void decode_tile(decode_state &s, uint32_t k, uint32_t v, int first,
				   int len, float scale)
{
	using S = decode_shape;
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	float p[2][4] = {};
	uint32_t f[4], pa[4];

	#pragma unroll
	for (int i = 0; i < S::D / 16; i++) {
		ldm4(f, k + decode_at(warp * 16 + lane % 8 + lane / 16 * 8,
				      i * 2 + lane / 8 % 2));
		mma(p[0], s.q[i], f[0], f[1], TYPE_q());
		mma(p[1], s.q[i], f[2], f[3], TYPE_q());
	}
	#pragma unroll
	for (int n = 0; n < 2; n++)
		#pragma unroll
		for (int e = 0; e < 4; e++) {
			int token = first + warp * 16 + n * 8 + lane % 4 * 2 + e % 2;

			p[n][e] = token < len ? attend_logit(p[n][e], scale) : -INFINITY;
		}
	#pragma unroll
	for (int h = 0; h < 2; h++) {
		float m = fmaxf(fmaxf(p[0][h * 2], p[0][h * 2 + 1]),
				fmaxf(p[1][h * 2], p[1][h * 2 + 1])), keep, by, sum = 0;

		m = fmaxf(quad_max(m), s.m[h]);
		/* of a row without any logit; not-a-number passes through */
		keep = softmax_keep(s.m[h], m);
		by = softmax_base(m);
		#pragma unroll
		for (int n = 0; n < 2; n++)
			#pragma unroll
			for (int e = 0; e < 2; e++) {
				float x = exp2f(p[n][h * 2 + e] - by);

				p[n][h * 2 + e] = x;
				sum += x;
			}
		s.l[h] = s.l[h] * keep + sum;
		s.m[h] = m;
		#pragma unroll
		for (int i = 0; i < S::D / 8; i++) {
			s.o[i][h * 2] *= keep;
			s.o[i][h * 2 + 1] *= keep;
		}
	}
	pa[0] = pack2<TYPE_q>(p[0][0], p[0][1]);
	pa[1] = pack2<TYPE_q>(p[0][2], p[0][3]);
	pa[2] = pack2<TYPE_q>(p[1][0], p[1][1]);
	pa[3] = pack2<TYPE_q>(p[1][2], p[1][3]);
	#pragma unroll
	for (int i = 0; i < S::D / 16; i++) {
		ldm4t(f, v + decode_at(warp * 16 + lane % 16, i * 2 + lane / 16));
		mma(s.o[i * 2], pa, f[0], f[1], TYPE_q());
		mma(s.o[i * 2 + 1], pa, f[2], f[3], TYPE_q());
	}
}

/* This warp's part to shared memory. */
static __device__ void decode_put(decode_state &s, float *merge)
{
	using S = decode_shape;
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

	#pragma unroll
	for (int h = 0; h < 2; h++) {
		int r = lane / 4 + h * 8;
		float l = quad_sum(s.l[h]);
		float *to = merge + warp * S::partial + r * S::part_row;

		if (r >= S::GB)
			continue;
		#pragma unroll
		for (int i = 0; i < S::D / 8; i++)
			*(float2 *)(to + i * 8 + lane % 4 * 2) = make_float2(s.o[i][h * 2], s.o[i][h * 2 + 1]);
		if (lane % 4 == 0)
			*(float2 *)(to + S::D) = make_float2(s.m[h], l);
	}
}

/*
 * n parts of a pair, `from(i)` each, merged: to its rows of out and lse, or as one part. A thread has 4 columns of a row;
 * the maxima and sums of some parts come with their rows, so that nothing is waited for twice.
 */
template <typename F>
static __device__ __forceinline__ void decode_merge(int n, F from, TYPE_q *out, float *lse, const attend_sink *sinks, float *part)
{
	using S = decode_shape;
	constexpr int cols = S::D / 4, items = (S::GB * cols + S::threads - 1) / S::threads;
	constexpr int some = 18;	/* one request, eight KV heads, 264 blocks: 34 parts */

	#pragma unroll
	for (int j = 0; j < items; j++) {
		int at = threadIdx.x + j * S::threads, r = at / cols, d = at % cols * 4;
		float4 x = make_float4(0, 0, 0, 0);
		float top = -INFINITY, sum = 0;

		if (r >= S::GB)
			continue;
		for (int first = 0; first < n; first += some) {
			float2 end[some];
			float4 v[some];
			float m = top, keep;

			#pragma unroll
			for (int i = 0; i < some; i++) {
				const float *p = from(min(first + i, n - 1)) + r * S::part_row;

				end[i] = *(const float2 *)(p + S::D);
				v[i] = *(const float4 *)(p + d);
			}
			#pragma unroll
			for (int i = 0; i < some; i++)
				m = fmaxf(m, end[i].x);
			/* what there was so far shrinks by the change of the maximum */
			keep = softmax_keep(top, m);
			x = make_float4(x.x * keep, x.y * keep, x.z * keep, x.w * keep);
			sum *= keep;
			top = m;
			#pragma unroll
			for (int i = 0; i < some; i++) {
				float w = softmax_weight(end[i].x, m);

				if (first + i >= n)
					continue;
				x.x += w * v[i].x;
				x.y += w * v[i].y;
				x.z += w * v[i].z;
				x.w += w * v[i].w;
				sum += w * end[i].y;
			}
		}
		if (part) {
			*(float4 *)(part + r * S::part_row + d) = x;
			if (d == 0)
				*(float2 *)(part + r * S::part_row + S::D) = make_float2(top, sum);
			continue;
		}
		float inv = attend_share(sum, top, attend_sinks ? sinks + r : nullptr);

		*(uint2 *)(out + r * S::D + d) = make_uint2(pack2<TYPE_q>(x.x * inv, x.y * inv), pack2<TYPE_q>(x.z * inv, x.w * inv));
		if (attend_lse && d == 0)
			lse[r] = sum == 0 ? -INFINITY : top + log2f(sum);
	}
}

/* A pair that a block shares with others: its first one, or its last. */
struct decode_shared {
	int b, pair;
	int64_t from;		/* the first of its blocks */
	int blocks;		/* 0: there is none */
};

static __global__ void __launch_bounds__(decode_shape::threads, decode_shape::per_sm)
decode_kernel(decode_args a)
{
	using S = decode_shape;
	extern __shared__ __align__(128) char smem[];
	__shared__ bool last[2];
	float *merge = (float *)(smem + S::stages * S::stage);
	auto head_of = [&](int b, int pair) {
		return (int64_t)b * AX_num_qo_heads + pair / S::HB * S::G + pair % S::HB * 16;
	};
	/* all blocks together ask for the page numbers, before the lengths are here and cache rows fill the memory's queues */
	for (int64_t i = (blockIdx.x * S::threads + threadIdx.x) * 32; i < a.pages; i += gridDim.x * S::threads * 32)
		prefetch(a.indices + i);
	auto units = [&](int b) -> int64_t {
		return (int64_t)((decode_len(a, b) + S::tile - 1) / S::tile) * S::pairs;
	};
	struct run mine = units_run<S::threads>(a.batch, units, blockIdx.x, gridDim.x);
	decode_cursor put, get;
	decode_rows rows;
	decode_state s;
	struct decode_shared shared[2];
	uint32_t base = smem_at(smem);
	int stage = 0;

	shared[0].blocks = shared[1].blocks = 0;
	/* requests without a token */
	for (int i = blockIdx.x; i < a.batch; i += gridDim.x) {
		if (decode_len(a, i) > 0)
			continue;
		for (int k = threadIdx.x; k < AX_num_qo_heads * S::D; k += S::threads)
			a.out[(int64_t)i * AX_num_qo_heads * S::D + k] = from_float<TYPE_q>(0);
		for (int k = threadIdx.x; attend_lse && k < AX_num_qo_heads; k += S::threads)
			a.lse[(int64_t)i * AX_num_qo_heads + k] = -INFINITY;
	}
	if (mine.from >= mine.to)
		return;
	decode_open(a, put, mine.b);
	put.pair = (int)(mine.before / put.tiles);
	put.t = (int)(mine.before % put.tiles);
	put.left = mine.to - mine.from;
	get = put;
	decode_fetch(a, put, rows);
	#pragma unroll
	for (int i = 0; i < S::stages - 1; i++) {
		if (put.left > 0) {
			decode_copy(a, put, rows, base + i * S::stage, i == 0 || put.t == 0);
			decode_next(a, put);
			decode_fetch(a, put, rows);
		}
		copy_commit();
	}
	bool fresh = true;
	while (get.left > 0) {
		uint32_t at = base + stage * S::stage;

		copy_wait<S::stages - 2>();
		__syncthreads();
		if (put.left > 0) {
			int next = (stage + S::stages - 1) % S::stages;

			decode_copy(a, put, rows, base + next * S::stage, put.t == 0);
			decode_next(a, put);
			decode_fetch(a, put, rows);
		}
		copy_commit();
		if (fresh)
			decode_load_q(s, at + 2 * S::tile * S::row);
		decode_tile(s, at, at + S::tile * S::row, get.t * S::tile, get.len, a.scale);
		fresh = false;
		stage = (stage + 1) % S::stages;
		if (get.t + 1 < get.tiles && get.left > 1) {
			decode_next(a, get);
			continue;
		}
		/* the end of a pair, or of this block's run */
		int64_t start = mine.to - get.left - get.t;	/* the pair's first tile */
		int64_t c0 = units_block(mine, start), c1 = units_block(mine, start + get.tiles - 1);
		int64_t head = head_of(get.b, get.pair);
		float *part = nullptr;

		decode_put(s, merge);
		if (c0 != c1) {
			bool opens = blockIdx.x == c0;	/* then it is the last of this block's run */
			struct decode_shared now = { get.b, get.pair, c0, (int)(c1 - c0) + 1 };

			shared[0] = opens ? shared[0] : now;
			shared[1] = opens ? now : shared[1];
			part = a.partial + ((int64_t)blockIdx.x * 2 + opens) * S::partial;
		}
		__syncthreads();
		decode_merge(S::warps, [&](int i) { return merge + i * S::partial; }, a.out + head * S::D, a.lse + head,
			     a.sinks + head % AX_num_qo_heads, part);
		__syncthreads();
		decode_next(a, get);
		fresh = true;
	}
	if (!shared[0].blocks && !shared[1].blocks)
		return;
	__threadfence();
	__syncthreads();
	if (threadIdx.x < 2) {
		struct decode_shared now = threadIdx.x ? shared[1] : shared[0];

		last[threadIdx.x] = now.blocks &&
			atomicAdd(a.arrived + now.b * S::pairs + now.pair, 1) == now.blocks - 1;
	}
	__syncthreads();
	for (int k = 0; k < 2; k++) {
		struct decode_shared now = k ? shared[1] : shared[0];
		/* a block's part of the pair that it opens lies behind the other */
		auto blocks = [&](int i) { return a.partial + ((now.from + i) * 2 + (i == 0)) * (int64_t)S::partial; };
		int64_t head = head_of(now.b, now.pair);

		if (!last[k])
			continue;
		__threadfence();
		decode_merge(now.blocks, blocks, a.out + head * S::D, a.lse + head, a.sinks + head % AX_num_qo_heads, nullptr);
		if (threadIdx.x == 0)
			a.arrived[now.b * S::pairs + now.pair] = 0;
	}
}

static int decode_blocks(void)
{
	return sm_count() * decode_shape::per_sm;
}

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	return (size_t)decode_blocks() * 2 * decode_shape::partial * 4 +
		(size_t)DIM(q, 0) * decode_shape::pairs * 4;
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	using S = decode_shape;
	static int ready;
	decode_args a;

	if (!ready)
		cudaFuncSetAttribute(decode_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
				     S::smem);
	ready = 1;
	a.q = TENSOR(q);
	a.k = TENSOR(k_cache);
	a.v = TENSOR(v_cache);
	a.indptr = TENSOR(kv_indptr);
	a.indices = TENSOR(kv_indices);
#ifdef ARG_kv_last_page_len
	a.last = TENSOR(kv_last_page_len);
#else
	a.last = nullptr;
#endif
	a.out = TENSOR(output);
	a.lse = ATTEND_LSE;
	a.sinks = ATTEND_SINKS;
	a.batch = (int)DIM(q, 0);
	a.pages = DIM(kv_indices, 0);
	a.scale = (float)(arg[ARG_sm_scale].scalar * 1.4426950408889634);
	a.partial = (float *)workspace;
	a.arrived = (int *)(a.partial + (size_t)decode_blocks() * 2 * S::partial);
	if (a.batch)
		decode_kernel<<<decode_blocks(), S::threads, S::smem, (cudaStream_t)stream>>>(a);
	return cudaGetLastError();
}
