/*
 * prefill_copy.cuh - what the copying warpgroup of prefill_sm90.cuh does: it draws units, and brings their queries, keys and
 * values.
 *
 * Where rows of a request lie together (ragged ones, or pages of 8 tokens and more) they are boxes that the copying
 * engine (TMA) fetches, at one thread's word. It fetches what is beyond the end of a request as well, and that may be anything:
 * such keys are masked, but such values are replaced by zeros. In smaller pages 16 rows are a box where they happen to lie together,
 * as most do; else each thread copies 16 bytes at a time (cp.async).
 *
 * Tiles lie in panels of 64 columns (128 bytes a row) in the 128-byte swizzle: chunk c of row r is at c ^ (r % 8).
 */
#pragma once

#include "hopper.cuh"
#include "prefill.cuh"

#include <type_traits>

template <typename T, int DK, int DV, int HQ, int HKV> struct hopper_shape {
	static constexpr int G = HQ / HKV;
	static constexpr int rows = 128, tile = 128, stages = 2, threads = 384;
	static constexpr int q_bytes = rows * DK * 2, k_bytes = tile * DK * 2, v_bytes = tile * DV * 2;
	static constexpr int out_bytes = DK <= 128 ? 4096 : 2048;	/* where a warp turns its rows, or half of their columns */
	static constexpr int most = 226 * 1024, others = stages * (k_bytes + v_bytes) + 8 * out_bytes + 1024;
	static constexpr int places = 2 * q_bytes + others <= most ? 2 : 1;	/* of queries */
	static constexpr int smem = places * q_bytes + others;
	static constexpr bool fits = smem <= most && DV == 128 && sizeof(T) == 2;
};

/* For tile_copy(); of q if queries are boxes. */
struct prefill_boxes {
	CUtensorMap q, k, v;
};

/* Whether queries come as boxes: rows are heads of tokens, and a warpgroup has whole tokens. */
template <typename S> static constexpr bool boxed_queries = 64 % S::G == 0;

/* Rows of a box of keys or values. */
template <typename M> static constexpr int box_rows = M::box ? M::box : TOGETHER;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/*
 * Where queries, keys and values of a block are in shared memory, and the barriers that tell full places and
 * empty ones. Units and tiles are counted from the block's first on.
 */
template <typename S> struct prefill_places {
	enum { FULL_K = 0, FULL_V = S::stages, EMPTY_K = 2 * S::stages, EMPTY_V = 3 * S::stages, FULL_Q = 4 * S::stages,
	       EMPTY_Q = FULL_Q + 2 * S::places, CUT = EMPTY_Q + 2 * S::places, BARRIERS };
	uint32_t base, bar;

	__device__ uint32_t queries(int half, int unit) const
	{
		return base + unit % S::places * S::q_bytes + half * 64 * 128;
	}
	__device__ uint32_t keys(int n) const { return base + S::places * S::q_bytes + n % S::stages * S::k_bytes; }
	__device__ uint32_t values(int n) const
	{
		return base + S::places * S::q_bytes + S::stages * S::k_bytes + n % S::stages * S::v_bytes;
	}
	__device__ uint32_t out(int warp) const { return values(0) + S::stages * S::v_bytes + warp * S::out_bytes; }
	__device__ uint32_t at(int which) const { return bar + which * 8; }
	__device__ uint32_t full_k(int n) const { return at(FULL_K + n % S::stages); }
	__device__ uint32_t full_v(int n) const { return at(FULL_V + n % S::stages); }
	__device__ uint32_t empty_k(int n) const { return at(EMPTY_K + n % S::stages); }
	__device__ uint32_t empty_v(int n) const { return at(EMPTY_V + n % S::stages); }
	/* of the half of a unit that one of the two warpgroups has */
	__device__ static int place(int half, int unit) { return half * S::places + unit % S::places; }
	__device__ uint32_t full_q(int half, int unit) const { return at(FULL_Q + place(half, unit)); }
	__device__ uint32_t empty_q(int half, int unit) const { return at(EMPTY_Q + place(half, unit)); }
	__device__ static int phase(int n) { return n / S::stages & 1; }
	__device__ static int phase_q(int unit) { return unit / S::places & 1; }

	/*
	 * Who copies by threads arrives by threads, who multiplies by warps; but all who read what they are told of a unit arrive
	 * when they need its queries no more. By the first BARRIERS threads.
	 */
	template <typename M> __device__ void init() const
	{
		int i = threadIdx.x;

		if (i < BARRIERS)
			bar_init(at(i), i < EMPTY_K ? M::box ? 1 : 128 : i < FULL_Q ? 8 : i < EMPTY_Q ?
				 boxed_queries<S> ? 1 : 129 : i < CUT ? 128 : 1);
	}
};

/*
 * All of the copying warpgroup. told: what the others are told of the unit whose queries are in a place(); units, total, order: see
 * hopper_begin().
 */
template <typename S, int DK, int DV, int HQ, int HKV, typename T, typename M, typename F>
static __device__ __forceinline__ void prefill_copy(const T *q, const T *k, const T *v, const M &m, const prefill_boxes &maps,
	const prefill_places<S> &to, struct hopper_unit *told, unsigned (&ticket)[2], unsigned *tickets, int batch, F units,
	int64_t total, const short *order)
{
	constexpr bool early = boxed_queries<S> && S::places > 1;
	constexpr int box = box_rows<M>;
	struct part { int b, head, seen, tile; } now, before = { 0, 0, 0, -1 };
	int c = threadIdx.x % 8, r0 = threadIdx.x / 8, lane = threadIdx.x % 32;
	int unit = 0, n = 0;		/* units and tiles so far */
	int cuts = 0;			/* of them, those that the end of a request cuts */
	int nth = batch;		/* of the requests, that of the unit; and the units before it */
	int64_t low = total;
	unsigned drawn = 0;
	/*
	 * Boxes are asked for by the first warp alone, so it alone waits for their places: who comes late to a barrier that does not
	 * count on it may find it two phases on, and wait for ever.
	 */
	auto wait = [&](uint32_t empty, int phase, bool boxed) {
		if (!boxed || threadIdx.x < 32)
			bar_wait(empty, phase ^ 1);
	};
	/* of a tile, the row and page of this thread's box; or the row threadIdx.x, -1: none */
	auto find = [&](const part &x) -> int2 {
		constexpr int each = M::box ? box : 1;
		int first = x.tile * S::tile + threadIdx.x * each;
		bool there = x.tile >= 0 && threadIdx.x < S::tile / each && first < x.seen;

		if constexpr (M::box > 0)
			return there ? m.box_at(x.b, first) : int2{};
		else
			return { there ? (int)m.token(x.b, first) : -1, 0 };
	};
	int2 at;
	auto copy = [&](const part &x, auto dim, const T *rows, const CUtensorMap &map, uint32_t tile, uint32_t full,
			int2 at, bool cut) {
		constexpr int D = decltype(dim)::value;

		if constexpr (M::box > 0) {
			int there = min(S::tile, x.seen - x.tile * S::tile), boxes = (there + box - 1) / box;
			uint32_t bar = cut && there < S::tile ? to.at(to.CUT) : full;

			if (threadIdx.x == 0)
				bar_expect(bar, boxes * box * D * 2);
			if ((int)threadIdx.x < boxes)
				#pragma unroll
				for (int p = 0; p < D / 64; p++)
					tile_copy(tile + p * (S::tile * 128) + threadIdx.x * (box * 128), map, p * 64, x.head,
						  at.x, at.y, bar);
			if (bar == full)
				return;
			bar_wait(bar, cuts++ & 1);
			#pragma unroll 1
			for (int r = there + r0; r < S::tile; r += 16)
				#pragma unroll
				for (int p = 0; p < D / 64; p++)
					store_shared(tile + p * (S::tile * 128) + r * 128 + c * 16, uint4{});
			proxy_fence();
			group_sync(COPIERS, 128);
			if (threadIdx.x == 0)
				bar_arrive(full);
		} else {
			bool together = hopper_together(at.x);
			unsigned boxes = __ballot_sync(~0u, together);

			if (together && lane % TOGETHER == 0) {
				bar_expect_more(full, TOGETHER * D * 2);
				#pragma unroll
				for (int p = 0; p < D / 64; p++)
					tile_copy(tile + p * (S::tile * 128) + threadIdx.x * 128, map, p * 64, x.head, at.x, 0, full);
			}
			#pragma unroll
			for (int half = 0; half < 32; half += TOGETHER) {
				if (boxes >> half & 1)
					continue;
				#pragma unroll
				for (int i = half; i < half + TOGETHER; i += 4) {
					int r = threadIdx.x / 32 * 32 + i + lane / 8, row = __shfl_sync(~0u, at.x, i + lane / 8);
					const T *from = rows + ((int64_t)max(row, 0) * HKV + x.head) * D + c * 8;

					#pragma unroll
					for (int p = 0; p < D / 64; p++)
						copy16(tile + p * (S::tile * 128) + r * 128 + ((c ^ r) & 7) * 16, from + p * 64, row >= 0);
				}
			}
			bar_arrive_copied(full);
		}
	};
	/* of the tile before: its keys are waited for first, and their places are free earlier */
	auto values = [&]() {
		if (before.tile < 0)
			return;
		int2 at = find(before);

		wait(to.empty_v(n - 1), to.phase(n - 1), M::box);
		copy(before, std::integral_constant<int, DV>(), v, maps.v, to.values(n - 1), to.full_v(n - 1), at, true);
	};
	auto queries = [&](const struct hopper_unit &w, int half) {
		uint32_t full = to.full_q(half, unit), place = to.queries(half, unit);
		int first = w.first + half * 64;

		wait(to.empty_q(half, unit), to.phase_q(unit), boxed_queries<S>);
		if (threadIdx.x == 0)
			told[to.place(half, unit)] = w;
		if constexpr (boxed_queries<S>) {
			if (threadIdx.x == 0) {
				bar_expect(full, 64 * DK * 2);
				#pragma unroll
				for (int p = 0; p < DK / 64; p++)
					tile_copy(place + p * (S::rows * 128), maps.q, p * 64, w.head * S::G,
						  w.q_from + first / S::G, 0, full);
			}
		} else {
			if (threadIdx.x == 0)
				bar_arrive(full);
			#pragma unroll 2
			for (int r = r0; r < 64; r += 16) {
				int row = first + r;
				bool there = row < w.q_len * S::G;
				int64_t from = there ? (int64_t)(w.q_from + row / S::G) * HQ + w.head * S::G + row % S::G : 0;

				#pragma unroll
				for (int p = 0; p < DK / 64; p++)
					copy16(place + p * (S::rows * 128) + r * 128 + ((c ^ r) & 7) * 16,
					       q + from * DK + p * 64 + c * 8, there);
			}
			bar_arrive_copied(full);
		}
	};

	for (int64_t u = total - 1 - blockIdx.x; u >= 0; u = hopper_next(total, drawn, ticket, unit++)) {
		int b = hopper_find<S::threads>(u, units, order, low, nth);
		struct hopper_unit w = hopper_unit_of<S::G>(m, b, (int)((u - low) % HKV), (int)((u - low) / HKV) * S::rows,
							    S::rows, S::tile);

		now = { b, w.head, w.seen, w.skip + w.tiles - 1 };
		at = find(now);
		for (int t = 0; t < max(w.tiles, 1); t++) {
			if (now.tile >= 0) {
				wait(to.empty_k(n), to.phase(n), M::box);
				copy(now, std::integral_constant<int, DK>(), k, maps.k, to.keys(n), to.full_k(n), at, false);
			}
			if (t == 0 && early) {
				queries(w, 0);
				queries(w, 1);
			}
			values();
			if (now.tile >= 0) {
				before = now;
				n++;
				now.tile--;
				at = find(now);
			}
			/* what takes long, or waits for the unit before, is not to keep its last values waiting */
			if (t == 0 && !early) {
				queries(w, 0);
				queries(w, 1);
			}
			if (t == 0)
				drawn = hopper_draw(tickets);
		}
	}
	values();
	for (int half = 0; half < 2; half++) {
		wait(to.empty_q(half, unit), to.phase_q(unit), boxed_queries<S>);
		hopper_end(told + to.place(half, unit), to.full_q(half, unit), !boxed_queries<S>);
	}
	hopper_done(tickets);
}

#endif
