/*
 * mla_prefill_sm90.cuh - latent attention of a prefill on Hopper, by wgmma.
 *
 * All heads read the same keys, so the tokens' heads are rows one after another, 64 of them a block. Three
 * warpgroups: one copies tiles of 64 tokens, the others take turns with the tiles' logits and weights
 * and have half of the output's columns each; so both multiply the weights of every tile.
 * A tile's products are 1,152 cycles of the tensor cores for the logits and 1,024 for the output:
 *
 *	even tiles' group	logits of t	weights of t	output of t		output of t + 1
 *	odd tiles' group			logits of t + 1	output of t
 *							and weights of t + 1	output of t + 1
 *
 * so that the weights always fall beside products. (Halves of a tile's logits for each would read the queries twice:
 * products of 32 columns wait for shared memory.) The weights are left where the tile's positional keys were,
 * which nobody needs any more. Each half of a tile is copied anew as soon as its group has read it, since the second
 * limit is the L2 cache: 74 KB for each tile. Tiles go from the last to the first; blocks stay and draw units
 * by tickets, as in prefill_sm90.cuh. The copies are in mla_prefill_copy.cuh.
 */
#pragma once

#include "mla_prefill_copy.cuh"

#include <algorithm>
#include <type_traits>

template <typename M>
static __global__ void __launch_bounds__(384, 1)
latent_kernel(mla_args a, M m, int batch, unsigned *tickets, const __grid_constant__ latent_boxes maps)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
	using S = latent_shape;
	enum { TURN = 1 };	/* named barrier */
	extern __shared__ char raw[];
	__shared__ __align__(8) uint64_t bars[latent_places::BARRIERS];
	__shared__ struct hopper_unit told;
	__shared__ unsigned ticket[2];
	__shared__ short order[S::threads];
	__shared__ int keys[S::threads];
	__shared__ float maxima[2][S::rows], sums[2][S::rows];
	latent_places at = { (smem_at(raw) + 1023) & ~1023u, smem_at(bars) };
	int group = __shfl_sync(~0u, threadIdx.x / 128, 0), lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
	auto units = [&](int b) -> int64_t {
		return ((int64_t)(m.q_to(b) - m.q_from(b)) * S::H + S::rows - 1) / S::rows;
	};
	int64_t total = hopper_begin<S::threads>(order, keys, m, batch, units);

	at.init<M>();
	proxy_fence();
	__syncthreads();
	if (group == 0) {
		registers_give<40>();
		latent_copy(a, m, maps, at, &told, ticket, tickets, batch, units, total, order);
		return;
	}
	registers_take<232>();
	int half = group - 1, base = warp * 16 + lane / 4;	/* of this thread's two rows */
	float o[128], s[32], mx[2], l[2], keep[2] = { 1, 1 };
	uint32_t p[16];
	struct hopper_unit w;
	int g = 0;		/* tiles before this unit */
	int heard_of = 0;	/* tiles of the other group */
	auto stage = [&](int t) { return (g + t) % S::stages; };
	/* two groups of products, so that half of them can be waited for */
	auto logits = [&](int t, auto odd) {
		uint32_t keys = at.keys(stage(t));
		auto columns = [&](int p, bool first) {
			#pragma unroll
			for (int i = 0; i < 4; i++)
				latent_qk(s, wg_matrix(at.queries() + p * S::panel + i * 32, 16),
					  wg_matrix(keys + p * S::panel + i * 32, 16), !first || i > 0);
		};

		#pragma unroll
		for (int step = 0; step < S::steps; step++) {
			int p = at.panel(decltype(odd)::value, step);

			bar_wait(at.full(stage(t), step), (g + t) / S::stages & 1);
			wg_fence();
			columns(p, step == 0);
			columns(p + 1, false);
			if (step == S::steps / 2 - 1)
				wg_commit();
		}
		columns(8, false);
		wg_commit();
	};
	auto value = [&](int t, int i) {
		return wg_matrix(at.keys(stage(t)) + half * 4 * S::panel + i * 2048, S::panel);
	};
	/* of one's own tile, and of the other's */
	auto values = [&](int t) {
		wg_fence();
		#pragma unroll
		for (int i = 0; i < S::tile / 16; i++)
			latent_pv(o, p + i * 4, value(t, i));
		wg_commit();
	};
	auto others = [&](int t) {
		uint32_t weights = at.keys(stage(t)) + 8 * S::panel;

		wg_fence();
		#pragma unroll
		for (int i = 0; i < S::tile / 16; i++)
			latent_pv(o, wg_matrix(weights + i * 32, 16), value(t, i));
		wg_commit();
	};
	auto end = [&](int t) {
		wg_wait<0>();
		wg_hold<128>(o);
		bar_arrive(at.empty(stage(t), half));
	};
	auto shrink = [&]() {
		if (!__all_sync(~0u, keep[0] == 1 && keep[1] == 1))
			#pragma unroll
			for (int i = 0; i < 128; i++)
				o[i] *= keep[i % 4 / 2];
	};
	/* weights of one's own tile; what there was so far is to shrink by keep */
	auto softmax = [&](int t, auto cut) {
		uint32_t weights = at.keys(stage(t)) + 8 * S::panel;

		#pragma unroll
		for (int h = 0; h < 2; h++) {
			int r = base + h * 8;
			int limit = min(w.seen, (w.first + r) / S::H + w.shift + 1) -
				(w.tiles - 1 - t) * S::tile;
			float most = wg_row_max<8, decltype(cut)::value>(s, h, 0, limit, mx[h]), sum[2] = {}, by;

			if (lane % 4 == 0)
				maxima[t % 2][r] = most;
			keep[h] = most == mx[h] ? 1 : ex2((mx[h] - most) * a.scale);
			by = softmax_base(most * a.scale);
			#pragma unroll
			for (int n = 0; n < 8; n++) {
				float x = ex2(fmaf(s[n * 4 + h * 2], a.scale, -by));
				float y = ex2(fmaf(s[n * 4 + h * 2 + 1], a.scale, -by));
				uint32_t &both = p[n / 2 * 4 + n % 2 * 2 + h];

				sum[0] += x;
				sum[1] += y;
				both = pack2<ob_bfloat16>(x, y);
				store_shared(weights + r * 128 + ((n ^ r) & 7) * 16 + lane % 4 * 4, both);
			}
			l[h] = l[h] * keep[h] + (sum[0] + sum[1]);
			mx[h] = most;
		}
		proxy_fence();
		bar_arrive(at.ready(t % 2));
	};
	/* the other's weights of a tile are there */
	auto heard = [&](int t) {
		bar_wait(at.ready(t % 2), heard_of++ & 1);
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			float most = maxima[t % 2][base + h * 8];

			keep[h] = most == mx[h] ? 1 : ex2((mx[h] - most) * a.scale);
			l[h] *= keep[h];
			mx[h] = most;
		}
	};
	/* two tiles, or the last one alone */
	auto even = [&](int t, bool two, auto cut) {
		logits(t, std::integral_constant<int, 0>());
		/* the other's begin when half of these are done */
		wg_wait<1>();
		if (two)
			group_arrive(TURN, 256);
		wg_wait<0>();
		wg_hold<32>(s);
		bar_arrive_if(at.qempty(), t + 2 >= w.tiles);
		softmax(t, cut);
		shrink();
		values(t);
		end(t);
		if (two) {
			heard(t + 1);
			shrink();
			others(t + 1);
			end(t + 1);
		}
	};
	auto odd = [&](int t, bool two, auto cut) {
		if (two) {
			group_sync(TURN, 256);
			logits(t + 1, std::integral_constant<int, 1>());
			heard(t);
			shrink();
			others(t);
			wg_wait<1>();
			wg_hold<32>(s);
			bar_arrive_if(at.qempty(), t + 3 >= w.tiles);
			softmax(t + 1, cut);
			end(t);
			shrink();
			values(t + 1);
			end(t + 1);
		} else {
			heard(t);
			shrink();
			others(t);
			end(t);
		}
	};
	/* those that a mask cuts come first */
	auto all = [&](auto step) {
		int whole = max(0, min(w.seen, w.first / S::H + w.shift + 1)) / S::tile;
		int masked = (w.tiles - whole + 1) / 2 * 2, t = 0;

		for (; t < masked && t < w.tiles; t += 2)
			step(t, t + 1 < w.tiles, std::true_type());
		for (; t < w.tiles; t += 2)
			step(t, t + 1 < w.tiles, std::false_type());
	};

	for (int turn = 0;; turn++, g += w.tiles) {
		bar_wait(at.qfull(), turn & 1);
		w = told;
		if (w.tiles < 0)
			return;
		#pragma unroll
		for (int i = 0; i < 128; i++)
			o[i] = 0;
		mx[0] = mx[1] = -INFINITY;
		l[0] = l[1] = 0;
		/* who has no tile needs no queries */
		bar_arrive_if(at.qempty(), w.tiles <= half);
		if (half == 0)
			all(even);
		else
			all(odd);
		/* both have read the sums of the unit before; and have written those of this one */
		bar_arrive(at.both());
		bar_wait(at.both(), 0);
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			l[h] = quad_sum(l[h]);
			if (lane % 4 == 0)
				sums[half][base + h * 8] = l[h];
		}
		bar_arrive(at.both());
		bar_wait(at.both(), 1);
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			int r = base + h * 8;
			float sum = sums[0][r] + sums[1][r];
			float inv = (w.first + r) / S::H + w.shift < 0 ? 0 : 1 / sum;	/* 0: before all keys */
			int64_t to = (int64_t)w.q_from * S::H + w.first + r;

			if (w.first + r >= w.q_len * S::H)
				continue;
			#pragma unroll
			for (int n = 0; n < 32; n++)
				*(uint32_t *)(a.out + to * 512 + half * 256 + n * 8 + lane % 4 * 2) =
					pack2<ob_bfloat16>(o[n * 4 + h * 2] * inv, o[n * 4 + h * 2 + 1] * inv);
			if (half == 0 && lane % 4 == 0)
				a.lse[to] = sum == 0 ? -INFINITY : mx[h] * a.scale + log2f(sum);
		}
	}
#endif
}

/* By wgmma where there is; else token by token, mla_run(). */
static int latent_run(mla_args a, const prefill_map &m, int64_t kv_pages, void *workspace, cudaStream_t stream)
{
	using S = latent_shape;
	static int able = -1;
	paged_map<AX_page_size> pages = { m.qo, m.indptr, m.indices, m.last };
	auto kernel = latent_kernel<paged_map<AX_page_size>>;

	latent_boxes maps = {};
	constexpr int box = latent_box<paged_map<AX_page_size>>, heads = S::H < 64 ? S::H : 64;

	if (able < 0)
		able = S::fits && hopper_able((const void *)kernel, S::smem);
	bool mapped = able && (!box || (tile_map(&maps.ckv, a.ckv, kv_pages, AX_page_size, 1, 512, 1, box) &&
					tile_map(&maps.kpe, a.kpe, kv_pages, AX_page_size, 1, 64, 1, box)));
	if (box && S::boxed_queries)
		mapped = mapped && tile_map(&maps.q_nope, a.q_nope, 1, a.rows, S::H, 512, heads, 64 / heads) &&
			tile_map(&maps.q_pe, a.q_pe, 1, a.rows, S::H, 64, heads, 64 / heads);
	if (!mapped || a.scale <= 0)
		return mla_run(a, m, workspace, stream);
	int64_t blocks = ((int64_t)a.rows * S::H + S::rows - 1) / S::rows + m.requests;

	if (a.rows)
		kernel<<<(unsigned)std::min<int64_t>(blocks, sm_count()), S::threads, S::smem, stream>>>(a, pages,
				m.requests, (unsigned *)((char *)workspace + mla_workspace(a.rows)), maps);
	return cudaGetLastError();
}

/* mla_run()'s, then two counters of latent_kernel(). */
extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	return mla_workspace(DIM(q_nope, 0)) + 2 * sizeof(unsigned);
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	mla_args a = MLA_ARGS;
	prefill_map m = { TENSOR(qo_indptr), TENSOR(kv_indptr), TENSOR(kv_indices), MLA_LAST,
		(int)DIM(qo_indptr, 0) - 1 };

	return latent_run(a, m, DIM(ckv_cache, 0), workspace, (cudaStream_t)stream);
}
