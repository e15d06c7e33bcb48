/*
 * prefill_sm90.cuh - prefill.cuh on Hopper: matrix products by wgmma.
 *
 * Three warpgroups: one copies keys and values (prefill_copy.cuh), two have 64 rows each. While the tensor cores
 * multiply the weights with the values of a tile, and the queries with the keys of the next, the softmax of the next is computed as
 * soon as its logits are there. Full and empty stages are told by mbarriers.
 *
 * The products of a tile take a warpgroup 1,024 cycles of the tensor cores, so the softmax of an element has to do
 * with some five instructions. Tiles go from the last to the first: those that a mask cuts come first, the
 * others have a loop without it; what there was so far is only shrunk where a row's maximum has grown.
 *
 * One block stays on each multiprocessor and draws units by tickets, the longest first; the first logits of the
 * next unit are computed beside the last values of the one before, so the tensor cores do not see where units end.
 * For that its queries come early: to a place of their own where there is room, else as soon as a
 * warpgroup needs those before no more.
 *
 * In a small batch most of the time goes to fetching code that nobody has run before: what runs once a unit is there once,
 * and in loops.
 */
#pragma once

#include "prefill_copy.cuh"

#include <algorithm>

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/*
 * The two warpgroups give their products to the tensor cores in turns: so the softmax of one
 * falls beside the products of the other.
 */
static __device__ __forceinline__ void take_turn(int group)
{
	group_sync(group, 256);
}

static __device__ __forceinline__ void give_turn(int group)
{
	group_arrive(group, 256);
}

#endif

template <typename T, int DK, int DV, int HQ, int HKV, typename M>
static __global__ void __launch_bounds__(384, 1)
hopper_kernel(const T *q, const T *k, const T *v, T *out, float *lse, M m, int batch, float scale,
	      unsigned *tickets, const __grid_constant__ prefill_boxes maps, const attend_sink *sinks)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
	using S = hopper_shape<T, DK, DV, HQ, HKV>;
	using P = prefill_places<S>;
	extern __shared__ char raw[];
	__shared__ __align__(8) uint64_t bars[P::BARRIERS];
	__shared__ struct hopper_unit told[2 * S::places];
	__shared__ unsigned ticket[2];
	__shared__ short order[S::threads];
	P at = { (smem_at(raw) + 1023) & ~1023u, smem_at(bars) };
	/* the same in all of a warp, as the compiler is to know */
	int group = __shfl_sync(~0u, threadIdx.x / 128, 0), lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
	auto units = [&](int b) -> int64_t {
		return (int64_t)((m.q_to(b) - m.q_from(b)) * S::G + S::rows - 1) / S::rows * HKV;
	};
	/* no copy is on its way yet: so numbers may be there */
	int64_t total = hopper_begin<S::threads>(order, (int *)raw, m, batch, units);

	at.template init<M>();
	proxy_fence();
	__syncthreads();
	if (group == 0) {
		registers_give<56>();
		prefill_copy<S, DK, DV, HQ, HKV>(q, k, v, m, maps, at, told, ticket, tickets, batch, units, total, order);
		return;
	}
	registers_take<224>();
	int half = group - 1, base = half * 64 + warp * 16;	/* the first of this warp's rows */
	float o[64], s[64], mx[2], l[2], keep[2];		/* of a thread's two rows, base + lane / 4 and 8 more */
	uint32_t p[32];
	uint32_t turned = at.out(half * 4 + warp);
	struct hopper_unit w = {};
	/* of what softmax() has; capped logits are base 2 already */
	const float unit = attend_cap > 0 ? 1 : scale;
	int turn = -1;		/* units before this one */
	int n = -1;		/* tiles before that of p; one more before that of s */
	auto logits = [&]() {
		#pragma unroll
		for (int i = 0; i < DK / 16; i++)
			wg_qk(s, wg_matrix(at.queries(half, turn) + i / 4 * (S::rows * 128) + i % 4 * 32, 16),
			      wg_matrix(at.keys(n + 1) + i / 4 * (S::tile * 128) + i % 4 * 32, 16), i > 0, T());
		wg_commit();
	};
	auto values = [&]() {
		#pragma unroll
		for (int i = 0; i < S::tile / 16; i++)
			wg_pv(o, p + i * 4, wg_matrix(at.values(n) + i * 2048, S::tile * 128), T());
		wg_commit();
	};
	auto logits_wait = [&]() { bar_wait(at.full_k(n + 1), at.phase(n + 1)); };
	auto values_wait = [&]() { bar_wait(at.full_v(n), at.phase(n)); };
	/* the t-th tile from the end of the unit's */
	auto logits_done = [&](int t) {
		wg_hold<64>(s);
		bar_arrive_if(at.empty_k(n + 1), lane == 0);
		bar_arrive_if(at.empty_q(half, turn), t + 1 == w.tiles);
	};
	auto values_done = [&]() {
		wg_wait<0>();
		wg_hold<64>(o);
		bar_arrive_if(at.empty_v(n), lane == 0);
	};
	/* its weights in s; what there was so far is to shrink by keep */
	auto softmax = [&](int t, auto cut) {
		#pragma unroll
		for (int i = 0; i < 64 && attend_cap > 0; i++)
			s[i] = attend_capped(s[i] * scale);
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			int end = (w.first + base + lane / 4 + h * 8) / S::G + w.shift + 1;
			int first = (w.skip + w.tiles - 1 - t) * S::tile, limit = min(w.seen, end) - first;
			float most = wg_row_max<16, decltype(cut)::value>(s, h, attend_from(end) - first, limit, mx[h]);
			float sum[4] = {}, by;

			keep[h] = most == mx[h] ? 1 : ex2((mx[h] - most) * unit);
			by = softmax_base(most * unit);
			#pragma unroll
			for (int i = 0; i < 16; i++)
				#pragma unroll
				for (int e = 0; e < 2; e++) {
					float &x = s[i * 4 + h * 2 + e];

					x = ex2(fmaf(x, unit, -by));
					sum[i % 2 * 2 + e] += x;
				}
			l[h] = l[h] * keep[h] + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
			mx[h] = most;
		}
	};
	auto pack = [&]() {
		#pragma unroll
		for (int i = 0; i < 8; i++)
			#pragma unroll
			for (int j = 0; j < 4; j++)
				p[i * 4 + j] = pack2<T>(s[i * 8 + j / 2 * 4 + j % 2 * 2],
							s[i * 8 + j / 2 * 4 + j % 2 * 2 + 1]);
	};
	auto row_at = [&](const struct hopper_unit &w, int row) {
		return (int64_t)(w.q_from + row / S::G) * HQ + w.head * S::G + row % S::G;
	};
	/* rows go by way of shared memory: to write pieces of 16 bytes takes 3,000 cycles */
	auto write = [&](const struct hopper_unit &w, const float *l, const float *mx) {
		constexpr int rounds = DV * 32 / S::out_bytes, columns = DV / rounds, chunks = columns / 8;
		constexpr int each = 32 / chunks;	/* rows at a time */
		int first = w.first + base, rows = w.q_len * S::G, mine = lane / chunks;
		T *to = out + row_at(w, first + mine) * DV + lane % chunks * 8;
		/* from this thread's first row to its r-th; where heads are 2^n, it is the same for all threads */
		auto step = [&](int r) {
			return 16 % S::G ? (row_at(w, first + mine + r) - row_at(w, first + mine)) * DV :
				(int64_t)(r / S::G * HQ + r % S::G) * DV;
		};
		float inv[2];

		#pragma unroll
		for (int h = 0; h < 2; h++) {
			float sum = quad_sum(l[h]);
			int row = first + lane / 4 + h * 8;

			if (row / S::G + w.shift < 0)		/* before all keys */
				inv[h] = 0;
			else if constexpr (attend_sinks)
				inv[h] = attend_share(sum, mx[h] * unit, sinks + w.head * S::G + row % S::G);
			else
				inv[h] = __fdividef(1, sum);
			if (attend_lse && lane % 4 == 0 && row < rows)
				lse[row_at(w, row)] = sum == 0 ? -INFINITY : mx[h] * unit + log2f(sum);
		}
		#pragma unroll
		for (int round = 0; round < rounds; round++) {
			#pragma unroll
			for (int i = 0; i < chunks; i += 2) {
				const float *x = o + (round * chunks + i) * 4;

				stm4(turned + lane % 16 * (columns * 2) + ((i + lane / 16) ^ lane % 8) * 16,
				     pack2<T>(x[0] * inv[0], x[1] * inv[0]), pack2<T>(x[2] * inv[1], x[3] * inv[1]),
				     pack2<T>(x[4] * inv[0], x[5] * inv[0]), pack2<T>(x[6] * inv[1], x[7] * inv[1]));
			}
			__syncwarp();
			#pragma unroll
			for (int r = 0; r < 16; r += each)
				if (first + r + mine < rows)
					*(uint4 *)(to + step(r) + round * columns) =
						load_shared(turned + (r + mine) * (columns * 2) + (lane % chunks ^ (r + mine) % 8) * 16);
			__syncwarp();
		}
	};
	/* of a unit that sees no keys */
	auto blank = [&]() {
		#pragma unroll 1
		for (int r = w.first + base; r < min(w.first + base + 16, w.q_len * S::G); r++) {
			((uint2 *)(out + row_at(w, r) * DV))[lane] = uint2{};
			if (attend_lse)
				lse[row_at(w, r)] = -INFINITY;
		}
	};
	/* what comes next and has tiles, or the end */
	auto next_unit = [&]() {
		for (;;) {
			turn++;
			bar_wait(at.full_q(half, turn), at.phase_q(turn));
			w = told[at.place(half, turn)];
			if (w.tiles)
				break;
			bar_arrive(at.empty_q(half, turn));
			blank();
		}
		mx[0] = mx[1] = -INFINITY;
		l[0] = l[1] = 0;
	};
	/* no branch between the start of products and their end: ptxas would run them one by one */
	auto step = [&](int t, auto cut) {
		logits_wait();
		values_wait();
		take_turn(group);
		wg_fence();
		logits();
		values();
		give_turn(3 - group);
		wg_wait<1>();
		logits_done(t);
		softmax(t, cut);
		/* ptxas does not move a store over the wait: so the sums come before it, beside the products */
		store_shared(turned + lane * 4, l[0] + l[1]);
		values_done();
	};
	auto more = [&](int t, auto cut) {
		step(t, cut);
		n++;
		if (!__all_sync(~0u, keep[0] == 1 && keep[1] == 1))
			#pragma unroll
			for (int i = 0; i < 64; i++)
				o[i] *= keep[i % 4 / 2];
		pack();
	};
	/* the first weights of a unit */
	auto begin = [&]() {
		#pragma unroll
		for (int i = 0; i < 64; i++)
			o[i] = 0;
		pack();
		n++;
	};

	if (group == 2)
		give_turn(1);
	next_unit();
	if (w.tiles < 0)
		return;
	logits_wait();
	wg_fence();
	logits();
	wg_wait<0>();
	logits_done(0);
	softmax(0, std::true_type());
	begin();
	for (;;) {
		/* so many tiles are seen whole by all rows */
		int whole = max(0, min(w.seen, w.first / S::G + w.shift + 1)) / S::tile, t = 1;

		for (; t < min(w.tiles, w.skip + w.tiles - whole); t++)
			more(t, std::true_type());
		if constexpr (attend_window > 0) {
			/* and these the last row sees whole; others do not begin with it */
			int last = min(w.first + S::rows, w.q_len * S::G) - 1;
			int begun = (attend_from(last / S::G + w.shift + 1) + S::tile - 1) / S::tile;

			for (; t < w.skip + w.tiles - begun; t++)
				more(t, std::false_type());
			for (; t < w.tiles; t++)
				more(t, std::true_type());
		} else {
			for (; t < w.tiles; t++)
				more(t, std::false_type());
		}

		struct hopper_unit was = w;
		float was_l[2] = { l[0], l[1] }, was_mx[2] = { mx[0], mx[1] };

		next_unit();
		if (w.tiles > 0)
			step(0, std::true_type());
		else {
			values_wait();
			wg_fence();
			values();
			values_done();
		}
		write(was, was_l, was_mx);
		if (w.tiles < 0)
			return;
		begin();
	}
#endif
}

/* Two counters of hopper_kernel(). */
extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 2 * sizeof(unsigned);
}

/*
 * wgmma where there is, and where it pays; else prefill_rows(). keys: tokens of all requests, at most; kv_pages, kv_rows: of k
 * and v, and of each page; ragged rows are one page.
 */
template <typename T, int DK, int DV, int HQ, int HKV, typename M>
static int prefill_best(const T *q, const T *k, const T *v, T *out, float *lse, const attend_sink *sinks, M m, int batch,
			int64_t total_q, int64_t keys, int64_t kv_pages, int64_t kv_rows, double sm_scale, void *workspace, cudaStream_t stream)
{
	using S = hopper_shape<T, DK, DV, HQ, HKV>;

	if (prefill_few<HQ, HKV>(total_q, batch, keys))
		return prefill_rows<T, DK, DV, HQ, HKV, 64>(q, k, v, out, lse, sinks, m, batch, total_q, sm_scale, stream);
	if constexpr (S::fits) {
		static int able = -1;
		prefill_boxes maps = {};
		auto kernel = hopper_kernel<T, DK, DV, HQ, HKV, M>;
		int64_t blocks = ((total_q * S::G + S::rows - 1) / S::rows + batch) * HKV;

		if (able < 0)
			able = hopper_able((const void *)kernel, S::smem);
		if (!M::box) {
			kv_rows *= kv_pages;
			kv_pages = 1;
		}
		bool mapped = able && tile_map(&maps.k, k, kv_pages, kv_rows, HKV, DK, 1, box_rows<M>) &&
			tile_map(&maps.v, v, kv_pages, kv_rows, HKV, DV, 1, box_rows<M>) &&
			(!boxed_queries<S> || tile_map(&maps.q, q, 1, total_q, HQ, DK, S::G, 64 / S::G));
		if (mapped && sm_scale > 0) {
			kernel<<<(unsigned)std::min<int64_t>(blocks, sm_count()), S::threads, S::smem, stream>>>(
					q, k, v, out, lse, m, batch, (float)(sm_scale * 1.4426950408889634),
					(unsigned *)workspace, maps, sinks);
			return cudaGetLastError();
		}
	}
	return prefill_rows<T, DK, DV, HQ, HKV, 128>(q, k, v, out, lse, sinks, m, batch, total_q, sm_scale, stream);
}
