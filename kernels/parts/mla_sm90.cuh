/*
 * mla_sm90.cuh - latent attention of single rows (decode, sparse) on Hopper, by wgmma.
 *
 * Bound by reading the cache once. A row has few heads, so tokens are the rows of the matrix instruction and heads its
 * columns: logits are a tile of 64 tokens times the queries, the output, transposed, is the tile's columns
 * times the weights; each column of the output belongs to a head, as those of the logits do, so that a
 * thread scales its own sums. One warpgroup copies, one computes, and there are two such blocks on an SM: while one
 * of them waits, for its tile or for its weights, the other multiplies. A tile has one place only, but each two
 * panels of 64 columns are copied anew as soon as the output has read them.
 */
#pragma once

#include "hopper.cuh"
#include "mla.cuh"

struct mla_narrow {
	using S = mla_shape;
	static constexpr int N = S::H <= 8 ? 8 : S::H <= 16 ? 16 : 32;	/* heads at a time */
	static constexpr int panel = 64 * 128, q_panel = N * 128;	/* 64 columns of a tile's tokens, of the heads */
	static constexpr int values = S::CKV / 64, panels = S::K / 64;
	/* copied together: the positional keys first, then two panels at a time */
	static constexpr int steps = 1 + values / 2;
	static constexpr int kv_bytes = panels * panel, q_bytes = panels * q_panel, p_bytes = N * 128;
	/* two blocks on an SM, of which each has 1 KB for barriers and 1 KB of the system's */
	static constexpr int room = 112 * 1024;
	static constexpr int queries = kv_bytes + 2 * q_bytes + p_bytes <= room ? 2 : 1;
	static constexpr int smem = kv_bytes + queries * q_bytes + p_bytes;
	static constexpr bool fits = S::PE % 64 == 0 && smem <= room;
};

/* Heads are the columns of the matrix instruction. */
struct mla_narrow_part : mla_part<mla_narrow::N> {
	static constexpr int other = 1, next = 8;
	static constexpr bool early = true;

	static __device__ __forceinline__ int head(int item) { return item / 128 % (N / 8) * 8 + item % 4 * 2; }
	static __device__ __forceinline__ int col(int item)
	{
		return item / (16 * N) * 64 + item % 128 / 32 * 16 + item % 32 / 4;
	}
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/* The greatest or the sum of the lanes that have the same columns of a fragment. */
template <typename F>
static __device__ __forceinline__ float column(float x, F both)
{
	x = both(x, __shfl_xor_sync(~0u, x, 4));
	x = both(x, __shfl_xor_sync(~0u, x, 8));
	return both(x, __shfl_xor_sync(~0u, x, 16));
}

#endif

template <typename M>
static __global__ void __launch_bounds__(mla_shape::threads, 2)
mla_narrow_kernel(mla_args a, M m)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
	using S = mla_shape;
	using W = mla_narrow;
	using P = mla_narrow_part;
	enum { GROUP = 1, N = W::N };
	extern __shared__ __align__(1024) char tiles[];
	__shared__ __align__(8) uint64_t bars[2 * W::steps + 2 * W::queries];
	__shared__ __align__(16) float warps[N][4];	/* a head's maximum or sum, of each warp's tokens */
	uint32_t kv = smem_at(tiles), qs = kv + W::kv_bytes, ps = qs + W::queries * W::q_bytes, bar = smem_at(bars);
	int group = __shfl_sync(~0u, threadIdx.x / 128, 0), lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
	auto full = [&](int step) { return bar + step * 8; };
	auto empty = [&](int step) { return bar + (W::steps + step) * 8; };
	auto qfull = [&](int k) { return bar + (2 * W::steps + k % W::queries) * 8; };
	auto qempty = [&](int k) { return qfull(k) + W::queries * 8; };
	struct run mine = mla_run_of<P::HB>(a, m);
	mla_cursor c;

	if (mine.from >= mine.to) {
		mla_empty<P::HB>(a, m, S::threads);
		return;
	}
	c = mla_first(m, mine);
	if (threadIdx.x < W::steps) {
		bar_init(full(threadIdx.x), 128);
		bar_init(empty(threadIdx.x), 4);
	}
	if (threadIdx.x < W::queries) {
		bar_init(qfull(threadIdx.x), 128);
		bar_init(qempty(threadIdx.x), 4);
	}
	__syncthreads();
	if (group == 0) {
		registers_give<56>();
		int col = threadIdx.x % 8, r0 = threadIdx.x / 8, at[4], next[4];
		uint32_t swizzled = r0 * 128 + ((col ^ r0) & 7) * 16;
		auto find = [&](int *rows) {
			#pragma unroll
			for (int i = 0; i < 4; i++) {
				int n = c.t * S::tile + r0 + i * 16;

				rows[i] = c.left > 0 && n < c.len ? (int)m.token(c.b, n) : -1;
			}
		};
		auto copy = [&](int p, const ob_bfloat16 *from, int width) {
			#pragma unroll
			for (int i = 0; i < 4; i++)
				copy16(kv + p * W::panel + i * 2048 + swizzled,
				       from + (int64_t)max(at[i], 0) * width + col * 8, at[i] >= 0);
		};
		int rows = 0;

		find(next);
		for (int i = 0; c.left > 0; i++) {
			if (i == 0 || c.t == 0) {
				bar_wait(qempty(rows), rows / W::queries & 1 ^ 1);
				for (int k = threadIdx.x; k < N * S::chunks; k += 128) {
					int r = k / S::chunks, x = k % S::chunks, head = c.hb * N + r;
					int64_t from = (int64_t)c.b * S::H + (head < S::H ? head : 0);

					copy16(qs + rows % W::queries * W::q_bytes + x / 8 * W::q_panel + r * 128 +
					       ((x ^ r) & 7) * 16, x < S::CKV / 8 ? a.q_nope + from * S::CKV + x * 8 :
					       a.q_pe + from * S::PE + (x - S::CKV / 8) * 8, head < S::H);
				}
				bar_arrive_copied(qfull(rows));
				rows++;
			}
			#pragma unroll
			for (int k = 0; k < 4; k++)
				at[k] = next[k];
			/* the next tile's rows of the cache are known before its copies begin */
			mla_next<P::HB>(m, c);
			find(next);
			#pragma unroll
			for (int step = 0; step < W::steps; step++) {
				bar_wait(empty(step), i & 1 ^ 1);
				if (step == 0) {
					#pragma unroll
					for (int p = 0; p < S::PE / 64; p++)
						copy(W::values + p, a.kpe + p * 64, S::PE);
				} else {
					copy(step * 2 - 2, a.ckv + (step * 2 - 2) * 64, S::CKV);
					copy(step * 2 - 1, a.ckv + (step * 2 - 1) * 64, S::CKV);
				}
				bar_arrive_copied(full(step));
			}
		}
		mla_empty<P::HB>(a, m, 128);
		copy_commit();
		copy_wait<0>();
		return;
	}
	registers_take<200>();
	/* this thread's heads are j * 8 + lane % 4 * 2 + e; its tokens 16 * warp + lane / 4 + 8 * h */
	float o[W::values][N / 2], s[N / 2], mx[N / 4], l[N / 4], keep[N / 4];
	auto head = [&](int k) { return k / 2 * 8 + lane % 4 * 2 + k % 2; };
	auto greatest = [](float x, float y) { return fmaxf(x, y); };
	auto sum = [](float x, float y) { return x + y; };
	auto freed = [&](uint32_t b) { bar_arrive_if(b, lane == 0); };
	bool fresh = true;
	int rows = 0;

	for (int i = 0; c.left > 0; i++) {
		uint32_t q = qs + rows % W::queries * W::q_bytes;
		bool there[2], ends = c.t + 1 >= c.tiles || c.left <= 1;

		if (fresh) {
			#pragma unroll
			for (int p = 0; p < W::values; p++)
				#pragma unroll
				for (int k = 0; k < N / 2; k++)
					o[p][k] = 0;
			#pragma unroll
			for (int k = 0; k < N / 4; k++) {
				mx[k] = -INFINITY;
				l[k] = 0;
			}
			bar_wait(qfull(rows), rows / W::queries & 1);
		}
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			int n = c.t * S::tile + warp * 16 + lane / 4 + h * 8;

			there[h] = n < c.len && m.there(c.b, n);
		}
		auto logits = [&](int p, bool first) {
			#pragma unroll
			for (int k = 0; k < 4; k++)
				wg_narrow<N, 0>(s, wg_matrix(kv + p * W::panel + k * 32, 16),
						wg_matrix(q + p * W::q_panel + k * 32, 16), !first || k > 0);
		};
		#pragma unroll
		for (int step = 0; step < W::steps; step++) {
			bar_wait(full(step), i & 1);
			wg_fence();
			if (step == 0) {
				#pragma unroll
				for (int p = 0; p < S::PE / 64; p++)
					logits(W::values + p, p == 0);
			} else {
				logits(step * 2 - 2, false);
				logits(step * 2 - 1, false);
			}
		}
		wg_commit();
		wg_wait<0>();
		wg_hold<N / 2>(s);
		freed(empty(0));
		bar_arrive_if(qempty(rows), ends && lane == 0);
		#pragma unroll
		for (int k = 0; k < N / 4; k++) {
			#pragma unroll
			for (int h = 0; h < 2; h++) {
				float &x = s[k / 2 * 4 + h * 2 + k % 2];

				x = there[h] ? x * a.scale : -INFINITY;
			}
			float most = column(fmaxf(s[k / 2 * 4 + k % 2], s[k / 2 * 4 + 2 + k % 2]), greatest);

			if (lane < 4)
				warps[head(k)][warp] = most;
		}
		group_sync(GROUP, 128);
		bool same = true;
		#pragma unroll
		for (int k = 0; k < N / 4; k++) {
			float4 w = *(const float4 *)warps[head(k)];
			float top = fmaxf(fmaxf(fmaxf(w.x, w.y), fmaxf(w.z, w.w)), mx[k]), by;
			float &x = s[k / 2 * 4 + k % 2], &y = s[k / 2 * 4 + 2 + k % 2];

			keep[k] = top == mx[k] ? 1 : ex2(mx[k] - top);
			same &= keep[k] == 1;
			by = softmax_base(top);
			x = ex2(x - by);
			y = ex2(y - by);
			l[k] = l[k] * keep[k] + (x + y);
			mx[k] = top;
		}
		#pragma unroll
		for (int j = 0; j < N / 8; j++)
			stm2t(ps + (j * 8 + lane % 8) * 128 + ((warp * 2 + lane / 8 % 2) ^ lane % 8) * 16,
			      pack2<ob_bfloat16>(s[j * 4], s[j * 4 + 1]), pack2<ob_bfloat16>(s[j * 4 + 2], s[j * 4 + 3]));
		proxy_fence();
		group_sync(GROUP, 128);
		if (!__all_sync(~0u, same))
			#pragma unroll
			for (int p = 0; p < W::values; p++)
				#pragma unroll
				for (int k = 0; k < N / 2; k++)
					o[p][k] *= keep[k / 4 * 2 + k % 2];
		wg_fence();
		#pragma unroll
		for (int p = 0; p < W::values; p++) {
			#pragma unroll
			for (int k = 0; k < 4; k++)
				wg_narrow<N, 1>(o[p], wg_matrix(kv + p * W::panel + k * 2048, W::panel),
						wg_matrix(ps + k * 32, 16), 1);
			if (p % 2)
				wg_commit();
		}
		#pragma unroll
		for (int p = 1; p < W::values; p += 2) {
			switch ((W::values - 1 - p) / 2) {
			case 0: wg_wait<0>(); break;
			case 1: wg_wait<1>(); break;
			case 2: wg_wait<2>(); break;
			default: wg_wait<3>(); break;
			}
			freed(empty(1 + p / 2));
		}
		wg_hold<W::values * N / 2>(o[0]);
		if (!ends) {
			fresh = false;
			mla_next<P::HB>(m, c);
			continue;
		}
		/* the end of a row's heads, or of this block's run */
		int64_t start = mine.to - c.left - c.t;		/* the row's first tile */
		int64_t c0 = units_block(mine, start), c1 = units_block(mine, start + c.tiles - 1);
		int64_t at = (int64_t)c.b * S::H + c.hb * N;
		float4 *part = P::of(a, blockIdx.x, blockIdx.x == c0);

		#pragma unroll
		for (int k = 0; k < N / 4; k++) {
			l[k] = column(l[k], sum);
			if (lane < 4)
				warps[head(k)][warp] = l[k];
		}
		group_sync(GROUP, 128);
		#pragma unroll
		for (int k = 0; k < N / 4; k++) {
			float4 w = *(const float4 *)warps[head(k)];

			l[k] = w.x + w.y + w.z + w.w;
			if (warp || lane >= 4)
				continue;
			if (c0 != c1)
				P::ends(part)[head(k)] = make_float2(mx[k], l[k]);
			else if (c.hb * N + head(k) < S::H)
				a.lse[at + head(k)] = l[k] == 0 ? -INFINITY : mx[k] + log2f(l[k]);
		}
		if (c0 != c1)
			#pragma unroll
			for (int p = 0; p < W::values; p++)
				#pragma unroll
				for (int j = 0; j < N / 8; j++)
					part[(p * (N / 8) + j) * 128 + threadIdx.x % 128] =
						make_float4(o[p][j * 4], o[p][j * 4 + 2], o[p][j * 4 + 1], o[p][j * 4 + 3]);
		else
			/* lanes of neighbouring columns swap one of their two heads: then each has two columns of one */
			#pragma unroll
			for (int j = 0; j < N / 8; j++) {
				int odd = lane / 4 % 2, mate = j * 8 + lane % 4 * 2 + odd;
				float sums = odd ? l[j * 2 + 1] : l[j * 2], inv = a.gaps && sums == 0 ? 0 : 1 / sums;

				#pragma unroll
				for (int p = 0; p < W::values; p++)
					#pragma unroll
					for (int h = 0; h < 2; h++) {
						float x = o[p][j * 4 + h * 2], y = o[p][j * 4 + h * 2 + 1];
						float got = __shfl_xor_sync(~0u, odd ? x : y, 4);
						int to = p * 64 + warp * 16 + h * 8 + lane / 4 - odd;

						if (c.hb * N + mate < S::H)
							*(uint32_t *)(a.out + (at + mate) * S::CKV + to) =
								pack2<ob_bfloat16>((odd ? got : x) * inv,
										   (odd ? y : got) * inv);
					}
			}
		if (threadIdx.x == 128 && blockIdx.x == c0)
			a.parts[c.b * P::HB + c.hb] = make_int2((int)c0, (int)(c1 - c0 + 1));
		mla_next<P::HB>(m, c);
		rows++;
		fresh = true;
		group_sync(GROUP, 128);		/* the sums have been read */
	}
#endif
}

static inline int mla_narrow_blocks(void)
{
	return 2 * sm_count() < mla_most_blocks ? 2 * sm_count() : mla_most_blocks;
}

static inline size_t mla_rows_workspace(int64_t rows)
{
	size_t narrow = mla_scratch<mla_narrow_part>(rows, mla_narrow_blocks()), other = mla_workspace(rows);

	return narrow > other ? narrow : other;
}

/* By wgmma where there is; else mla_run(). */
template <typename M>
static int mla_rows_run(mla_args a, M m, void *workspace, cudaStream_t stream)
{
	using W = mla_narrow;
	static int able = -1;
	auto kernel = mla_narrow_kernel<M>;

	if (able < 0)
		able = W::fits && hopper_able((const void *)kernel, W::smem);
	if (!able)
		return mla_run(a, m, workspace, stream);
	mla_place<mla_narrow_part>(a, workspace, mla_narrow_blocks());
	if (a.rows)
		kernel<<<mla_narrow_blocks(), mla_shape::threads, W::smem, stream>>>(a, m);
	return mla_merge_all<mla_narrow_part>(a, mla_narrow_blocks(), stream);
}
