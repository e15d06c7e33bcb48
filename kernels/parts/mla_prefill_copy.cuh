/*
 * mla_prefill_copy.cuh - what the copying warpgroup of mla_prefill_sm90.cuh does: it draws units, and brings their queries and
 * tiles of keys, each half of a tile as soon as its place is free. As boxes (TMA) where rows lie together, else 16 bytes at a time
 * (cp.async); see prefill_copy.cuh.
 */
#pragma once

#include "hopper.cuh"
#include "mla_prefill.cuh"
#include "prefill.cuh"

struct latent_shape {
	static constexpr int H = AX_num_qo_heads, rows = 64, tile = 64, panels = 9, stages = 2, threads = 384;
	static constexpr int steps = 4;		/* of a tile's copies, two panels each, with the last one more */
	static constexpr int panel = 64 * 128, kv_bytes = panels * panel;	/* 64 columns of 64 rows */
	static constexpr int smem = (1 + stages) * kv_bytes + 1024;
	static constexpr bool boxed_queries = 64 % H == 0 || H % 64 == 0;	/* 64 rows are some heads of some tokens */
	static constexpr bool fits = AX_head_dim_ckv == 512 && AX_head_dim_kpe == 64;
};

/* Rows of a box of a tile, 0: there are none. */
template <typename M> static constexpr int latent_box = M::box > latent_shape::tile ? latent_shape::tile : M::box;

/* For tile_copy(); read if the map of requests has boxes. */
struct latent_boxes {
	CUtensorMap ckv, kpe, q_nope, q_pe;
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/* Where queries and tiles of a block are in shared memory, and its barriers. */
struct latent_places {
	using S = latent_shape;
	enum { EMPTY = S::stages * S::steps, FULL_Q = EMPTY + 2 * S::stages, EMPTY_Q, BOTH, READY, CUT = READY + 2, BARRIERS };
	uint32_t base, bar;

	__device__ uint32_t queries() const { return base; }
	__device__ uint32_t keys(int s) const { return base + (1 + s) * S::kv_bytes; }
	__device__ uint32_t full(int s, int step) const { return bar + (s * S::steps + step) * 8; }
	/* columns 0 to 255; the others */
	__device__ uint32_t empty(int s, int half) const { return bar + (EMPTY + s * 2 + half) * 8; }
	__device__ uint32_t qfull() const { return bar + FULL_Q * 8; }
	__device__ uint32_t qempty() const { return bar + EMPTY_Q * 8; }
	__device__ uint32_t both() const { return bar + BOTH * 8; }
	/* the weights of even and odd tiles */
	__device__ uint32_t ready(int odd) const { return bar + (READY + odd) * 8; }
	/* a tile that the end of a request cuts is there */
	__device__ uint32_t cut() const { return bar + CUT * 8; }
	/* of a step's panels the first. Odd tiles begin with the half that is free first. */
	__device__ static constexpr int panel(int odd, int step) { return (odd * 4 + step * 2) % 8; }

	/* By the first BARRIERS threads. */
	template <typename M> __device__ void init() const
	{
		int i = threadIdx.x;

		if (i < BARRIERS)
			bar_init(bar + i * 8, i < EMPTY ? latent_box<M> ? 1 : 128 : i < FULL_Q ? 128 : i == FULL_Q ?
				 S::boxed_queries && latent_box<M> ? 1 : 129 : i < READY ? 256 : i < CUT ? 128 : 1);
	}
};

/* All of the copying warpgroup; see prefill_copy(). */
template <typename M, typename F>
static __device__ __forceinline__ void latent_copy(const mla_args &a, const M &m, const latent_boxes &maps, const latent_places &to,
	struct hopper_unit *told, unsigned (&ticket)[2], unsigned *tickets, int batch, F units, int64_t total, const short *order)
{
	using S = latent_shape;
	constexpr int box = latent_box<M>;
	int c = threadIdx.x % 8, r0 = threadIdx.x / 8, turn = 0;
	int count = 0;			/* tiles so far */
	int nth = batch;		/* of the requests, that of the unit; and the units before it */
	int cuts = 0;			/* of the tiles so far, those that the end of a request cuts */
	int64_t low = total;
	unsigned drawn = 0;
	uint32_t swizzled = r0 * 128 + ((c ^ r0) & 7) * 16;
	/* boxes are asked for by the first warp, which alone waits for their places; see prefill_copy() */
	bool waits = !box || threadIdx.x < 32;

	for (int64_t u = total - 1 - blockIdx.x; u >= 0; u = hopper_next(total, drawn, ticket, turn++)) {
		int b = hopper_find<S::threads>(u, units, order, low, nth);
		struct hopper_unit w = hopper_unit_of<S::H>(m, b, 0, (int)(u - low) * S::rows, S::rows, S::tile);
		/* of the t-th tile from the end, row and page of this thread's box; or the rows that it copies, -1: none */
		int at[S::tile / 16];
		auto find = [&](int t) {
			int from = (w.tiles - 1 - t) * S::tile;

			if constexpr (box > 0) {
				int first = from + threadIdx.x * box;

				if (t < w.tiles && threadIdx.x < S::tile / box && first < w.seen) {
					int2 y = m.box_at(b, first);

					at[0] = y.x;
					at[1] = y.y;
				}
			} else {
				#pragma unroll
				for (int i = 0; i < S::tile / 16; i++)
					at[i] = t < w.tiles && from + r0 + i * 16 < w.seen ?
						(int)m.token(b, from + r0 + i * 16) : -1;
			}
		};
		auto queries = [&]() {
			if (waits)
				bar_wait(to.qempty(), turn & 1 ^ 1);
			if (threadIdx.x == 0)
				*told = w;
			if constexpr (S::boxed_queries && box > 0) {
				if (threadIdx.x == 0) {
					bar_expect(to.qfull(), S::kv_bytes);
					#pragma unroll 1
					for (int p = 0; p < S::panels; p++)
						tile_copy(to.queries() + p * S::panel, p < 8 ? maps.q_nope : maps.q_pe, p % 8 * 64,
							  w.first % S::H, w.q_from + w.first / S::H, 0, to.qfull());
				}
				return;
			}
			if (threadIdx.x == 0)
				bar_arrive(to.qfull());
			#pragma unroll 1
			for (int i = 0; i < S::rows / 16; i++) {
				int row = w.first + r0 + i * 16;
				bool there = row < w.q_len * S::H;
				int64_t at = (int64_t)w.q_from * S::H + (there ? row : 0);

				#pragma unroll
				for (int p = 0; p < S::panels; p++)
					copy16(to.queries() + p * S::panel + i * 2048 + swizzled, (p < 8 ? a.q_nope + at * 512 +
					       p * 64 : a.q_pe + at * 64) + c * 8, there);
			}
			bar_arrive_copied(to.qfull());
		};

		find(0);
		for (int t = 0; t < max(w.tiles, 1); t++) {
			int s = count % S::stages, phase = count / S::stages & 1;
			int there = min(S::tile, w.seen - (w.tiles - 1 - t) * S::tile);
			int boxes = box ? (there + box - 1) / max(box, 1) : 0;
			uint32_t keys = to.keys(s);
			auto copy = [&](int p, uint32_t full) {
				if constexpr (box > 0) {
					if ((int)threadIdx.x < boxes)
						tile_copy(keys + p * S::panel + threadIdx.x * (box * 128), p < 8 ? maps.ckv :
							  maps.kpe, p % 8 * 64, 0, at[0], at[1], full);
				} else {
					const ob_bfloat16 *from = (p < 8 ? a.ckv + p * 64 : a.kpe) + c * 8;

					#pragma unroll
					for (int i = 0; i < S::tile / 16; i++)
						copy16(keys + p * S::panel + i * 2048 + swizzled,
						       from + (int64_t)max(at[i], 0) * (p < 8 ? 512 : 64), at[i] >= 0);
				}
			};

			#pragma unroll
			for (int step = 0; step < S::steps && w.tiles > 0; step++) {
				int p = to.panel(t % 2, step);
				bool last = step == S::steps - 1;
				uint32_t told_by = box && there < S::tile ? to.cut() : to.full(s, step);

				if (step % 2 == 0 && waits)
					bar_wait(to.empty(s, p / 4), phase ^ 1);
				if (box && threadIdx.x == 0) {
					if (there == S::tile)
						bar_expect(told_by, boxes * box * 128 * (last ? 3 : 2));
					else if (step == 0)
						bar_expect(told_by, boxes * box * 128 * S::panels);
				}
				copy(p, told_by);
				copy(p + 1, told_by);
				/* where the weights were, which both have read by then */
				if (last)
					copy(8, told_by);
				if (!box)
					bar_arrive_copied(told_by);
			}
			/* what is beyond the end of a request may be anything: as keys it is masked, but 0 * nan is nan */
			if (box && there < S::tile && w.tiles > 0) {
				bar_wait(to.cut(), cuts++ & 1);
				#pragma unroll 1
				for (int r = there + r0; r < S::tile; r += 16)
					#pragma unroll 1
					for (int p = 0; p < 8; p++)
						store_shared(keys + p * S::panel + r * 128 + c * 16, uint4{});
				proxy_fence();
				group_sync(COPIERS, 128);
				for (int step = 0; step < S::steps && threadIdx.x == 0; step++)
					bar_arrive(to.full(s, step));
			}
			if (w.tiles > 0) {
				count++;
				find(t + 1);
			}
			if (t == 0) {
				queries();
				drawn = hopper_draw(tickets);
			}
		}
	}
	if (waits)
		bar_wait(to.qempty(), turn & 1 ^ 1);
	hopper_end(told, to.qfull(), !(S::boxed_queries && box));
	hopper_done(tickets);
}

#endif
