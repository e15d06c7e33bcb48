/*
 * prefill_sm90.cuh - prefill.cuh on Hopper: matrix products by wgmma.
 *
 * Three warpgroups: one copies keys and values (cp.async: pages are not boxes that TMA could
 * fetch), two have 64 rows each. While the tensor cores multiply the weights with the values of a
 * tile, and the queries with the keys of the next, the softmax of the next is computed as
 * soon as its logits are there. Full and empty stages are told by mbarriers.
 *
 * The products of a tile take a warpgroup 1,024 cycles of the tensor cores, so the softmax of an element has to do
 * with some five instructions. Tiles go from the last to the first: those that a mask cuts come first, the
 * others have a loop without it; what there was so far is only shrunk where a row's maximum has grown.
 *
 * One block stays on each multiprocessor and draws units by tickets, the longest first; the keys of the
 * next unit are copied while the last products of the one before are still computed.
 *
 * Tiles lie in panels of 64 columns (128 bytes a row) in the 128-byte swizzle: chunk c of row r is at c ^ (r % 8).
 */
#pragma once

#include "hopper.cuh"
#include "prefill.cuh"

#include <algorithm>
#include <type_traits>

template <typename T, int DK, int DV, int HQ, int HKV> struct hopper_shape {
	static constexpr int G = HQ / HKV;
	static constexpr int rows = 128, tile = 128, stages = 2, threads = 384;
	static constexpr int q_bytes = rows * DK * 2, k_bytes = tile * DK * 2, v_bytes = tile * DV * 2;
	static constexpr int smem = q_bytes + stages * (k_bytes + v_bytes) + 1024;
	static constexpr bool fits = smem <= 227 * 1024 && DV == 128 && sizeof(T) == 2;
};

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
	      unsigned *tickets)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
	using S = hopper_shape<T, DK, DV, HQ, HKV>;
	extern __shared__ char raw[];
	__shared__ __align__(8) uint64_t bars[4 * S::stages + 2];
	__shared__ struct hopper_unit told;
	__shared__ unsigned ticket;
	__shared__ short order[S::threads];
	__shared__ int keys[S::threads];
	__shared__ float marks[256];
	uint32_t qs = (smem_at(raw) + 1023) & ~1023u, ks = qs + S::q_bytes;
	uint32_t vs = ks + S::stages * S::k_bytes, bar = smem_at(bars);
	/* the same in all of a warp, as the compiler is to know */
	int group = __shfl_sync(~0u, threadIdx.x / 128, 0), lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
	auto kfull = [&](int s) { return bar + s * 8; };
	auto vfull = [&](int s) { return bar + (S::stages + s) * 8; };
	auto kempty = [&](int s) { return bar + (2 * S::stages + s) * 8; };
	auto vempty = [&](int s) { return bar + (3 * S::stages + s) * 8; };
	uint32_t qfull = bar + 4 * S::stages * 8, qempty = qfull + 8;
	auto units = [&](int b) -> int64_t {
		return (int64_t)((m.q_to(b) - m.q_from(b)) * S::G + S::rows - 1) / S::rows * HKV;
	};
	int64_t total = units_run<S::threads>(batch, units, gridDim.x, gridDim.x).total;

	hopper_sort<S::threads>(order, keys, m, batch);
	if (threadIdx.x < 4 * S::stages)
		bar_init(bar + threadIdx.x * 8, threadIdx.x < 2 * S::stages ? 128 : 256);
	if (threadIdx.x < 2)
		bar_init(qfull + threadIdx.x * 8, threadIdx.x ? 256 : 129);
	__syncthreads();
	if (group == 0) {
		registers_give<40>();
		int c = threadIdx.x % 8, r0 = threadIdx.x / 8, turn = 0;
		int count = 0;			/* tiles so far */
		int nth = batch;		/* of the requests, that of the unit; and the units before it */
		int64_t low = total;
		/* this thread's part of a tile of rows of `dim`, at[] in the cache, -1 none */
		auto copy = [&](auto dim, const T *rows, uint32_t tile, int head, const int *at) {
			constexpr int D = decltype(dim)::value;

			#pragma unroll
			for (int i = 0; i < S::tile / 16; i++) {
				int r = r0 + i * 16;
				const T *from = rows + ((int64_t)max(at[i], 0) * HKV + head) * D + c * 8;
				uint32_t to = tile + r * 128 + ((c ^ r) & 7) * 16;

				#pragma unroll
				for (int p = 0; p < D / 64; p++)
					copy16(to + p * (S::tile * 128), from + p * 64, at[i] >= 0);
			}
		};

		for (int64_t u = total - 1 - blockIdx.x; hopper_draw<S::threads>(u, units, order, low, nth, &ticket, tickets);
		     u = total - 1 - gridDim.x - ticket, turn++) {
			int b = hopper_nth<S::threads>(order, nth);
			struct hopper_unit w = hopper_unit_of<S::G>(m, b, (int)((u - low) % HKV),
				(int)((u - low) / HKV) * S::rows, S::rows, S::tile);

			/* the first keys come before the queries: their place is free earlier */
			for (int t = 0; t < max(w.tiles, 1); t++) {
				int s = count % S::stages, phase = count / S::stages & 1;
				int at[S::tile / 16];

				if (w.tiles > 0) {
					#pragma unroll
					for (int i = 0; i < S::tile / 16; i++) {
						int n = (w.tiles - 1 - t) * S::tile + r0 + i * 16;

						at[i] = n < w.seen ? (int)m.token(b, n) : -1;
					}
					bar_wait(kempty(s), phase ^ 1);
					copy(std::integral_constant<int, DK>(), k, ks + s * S::k_bytes, w.head, at);
					bar_arrive_copied(kfull(s));
				}
				if (t == 0) {
					bar_wait(qempty, turn & 1 ^ 1);
					if (threadIdx.x == 0) {
						told = w;
						bar_arrive(qfull);
					}
					#pragma unroll 1
					for (int r = r0; r < S::rows; r += 16) {
						int row = w.first + r;
						bool there = row < w.q_len * S::G;
						int64_t from = there ? (int64_t)(w.q_from + row / S::G) * HQ +
							w.head * S::G + row % S::G : 0;

						#pragma unroll
						for (int p = 0; p < DK / 64; p++)
							copy16(qs + p * (S::rows * 128) + r * 128 + ((c ^ r) & 7) * 16,
							       q + from * DK + p * 64 + c * 8, there);
					}
					bar_arrive_copied(qfull);
				}
				if (w.tiles > 0) {
					bar_wait(vempty(s), phase ^ 1);
					copy(std::integral_constant<int, DV>(), v, vs + s * S::v_bytes, w.head, at);
					bar_arrive_copied(vfull(s));
					count++;
				}
			}
			group_sync(COPIERS, 128);
		}
		bar_wait(qempty, turn & 1 ^ 1);
		hopper_end(&told, qfull, tickets);
		return;
	}
	registers_take<232>();
	int base = (group - 1) * 64 + warp * 16 + lane / 4;	/* of this thread's two rows */
	float o[64], s[64], mx[2], l[2], keep[2];
	uint32_t p[32];
	uint32_t mine_q = qs + (group - 1) * 64 * 128, mark = smem_at(marks) + threadIdx.x * 4 - 512;
	struct hopper_unit w;
	int g = 0;		/* tiles before this unit */
	auto logits = [&](int t) {
		uint32_t at = ks + (g + t) % S::stages * S::k_bytes;

		#pragma unroll
		for (int i = 0; i < DK / 16; i++)
			wg_qk(s, wg_matrix(mine_q + i / 4 * (S::rows * 128) + i % 4 * 32, 16),
			      wg_matrix(at + i / 4 * (S::tile * 128) + i % 4 * 32, 16), i > 0, T());
		wg_commit();
	};
	auto values = [&](int t) {
		uint32_t at = vs + (g + t) % S::stages * S::v_bytes;

		#pragma unroll
		for (int i = 0; i < S::tile / 16; i++)
			wg_pv(o, p + i * 4, wg_matrix(at + i * 2048, S::tile * 128), T());
		wg_commit();
	};
	/* weights of the t-th tile from the end in s; what there was so far is to shrink by keep */
	auto softmax = [&](int t, auto cut) {
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			int limit = min(w.seen, (w.first + base + h * 8) / S::G + w.shift + 1) -
				(w.tiles - 1 - t) * S::tile;
			float most = wg_row_max<16, decltype(cut)::value>(s, h, limit, mx[h]), sum[4] = {}, by;

			keep[h] = most == mx[h] ? 1 : ex2((mx[h] - most) * scale);
			by = softmax_base(most * scale);
			#pragma unroll
			for (int n = 0; n < 16; n++)
				#pragma unroll
				for (int e = 0; e < 2; e++) {
					float &x = s[n * 4 + h * 2 + e];

					x = ex2(fmaf(x, scale, -by));
					sum[n % 2 * 2 + e] += x;
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
	/* no branch between the start of products and their end: ptxas would run them one by one */
	auto step = [&](int t, auto cut) {
		bar_wait(kfull((g + t + 1) % S::stages), (g + t + 1) / S::stages & 1);
		bar_wait(vfull((g + t) % S::stages), (g + t) / S::stages & 1);
		take_turn(group);
		wg_fence();
		logits(t + 1);
		values(t);
		give_turn(3 - group);
		wg_wait<1>();
		wg_hold<64>(s);
		bar_arrive(kempty((g + t + 1) % S::stages));
		bar_arrive_if(qempty, t + 2 == w.tiles);
		softmax(t + 1, cut);
		/* ptxas does not move a store over the wait: so the sums come before it, beside the products */
		store_shared(mark, l[0] + l[1]);
		wg_wait<0>();
		wg_hold<64>(o);
		bar_arrive(vempty((g + t) % S::stages));
		if (!__all_sync(~0u, keep[0] == 1 && keep[1] == 1))
			#pragma unroll
			for (int i = 0; i < 64; i++)
				o[i] *= keep[i % 4 / 2];
		pack();
	};

	if (group == 2)
		give_turn(1);
	for (int turn = 0;; turn++, g += w.tiles) {
		bar_wait(qfull, turn & 1);
		w = told;
		if (w.tiles < 0)
			return;
		/* so many tiles are seen whole by all rows */
		int whole = max(0, min(w.seen, w.first / S::G + w.shift + 1)) / S::tile, t = 0;

		#pragma unroll
		for (int i = 0; i < 64; i++)
			o[i] = 0;
		mx[0] = mx[1] = -INFINITY;
		l[0] = l[1] = 0;
		if (w.tiles > 0) {
			bar_wait(kfull(g % S::stages), g / S::stages & 1);
			wg_fence();
			logits(0);
			wg_wait<0>();
			wg_hold<64>(s);
			bar_arrive(kempty(g % S::stages));
			softmax(0, std::true_type());
			pack();
		}
		if (w.tiles < 2)
			bar_arrive(qempty);
		for (; t + 1 < w.tiles - whole; t++)
			step(t, std::true_type());
		for (; t + 1 < w.tiles; t++)
			step(t, std::false_type());
		if (w.tiles > 0) {
			int last = g + w.tiles - 1;

			bar_wait(vfull(last % S::stages), last / S::stages & 1);
			wg_fence();
			values(w.tiles - 1);
			wg_wait<0>();
			wg_hold<64>(o);
			bar_arrive(vempty(last % S::stages));
		}
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			int row = w.first + base + h * 8;
			float sum = quad_sum(l[h]), inv;
			int64_t at = (int64_t)(w.q_from + row / S::G) * HQ + w.head * S::G + row % S::G;

			inv = sum == 0 ? 0 : 1 / sum;
			if (row >= w.q_len * S::G)
				continue;
			#pragma unroll
			for (int n = 0; n < DV / 8; n++)
				*(uint32_t *)(out + at * DV + n * 8 + lane % 4 * 2) =
					pack2<T>(o[n * 4 + h * 2] * inv, o[n * 4 + h * 2 + 1] * inv);
			if (lane % 4 == 0)
				lse[at] = sum == 0 ? -INFINITY : mx[h] * scale + log2f(sum);
		}
	}
#endif
}

/* Two counters of hopper_kernel(). */
extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 2 * sizeof(unsigned);
}

/* wgmma where there is, and where it pays; else prefill(). */
template <typename T, int DK, int DV, int HQ, int HKV, typename M>
static int prefill_best(const T *q, const T *k, const T *v, T *out, float *lse, M m, int batch,
			int64_t total_q, double sm_scale, void *workspace, cudaStream_t stream)
{
	using S = hopper_shape<T, DK, DV, HQ, HKV>;

	if constexpr (S::fits) {
		static int able = -1;
		auto kernel = hopper_kernel<T, DK, DV, HQ, HKV, M>;
		int64_t blocks = ((total_q * S::G + S::rows - 1) / S::rows + batch) * HKV;

		if (able < 0)
			able = hopper_able((const void *)kernel, S::smem);
		if (able && sm_scale > 0) {
			if (total_q)
				kernel<<<(unsigned)std::min<int64_t>(blocks, sm_count()), S::threads, S::smem, stream>>>(
						q, k, v, out, lse, m, batch, (float)(sm_scale * 1.4426950408889634),
						(unsigned *)workspace);
			return cudaGetLastError();
		}
	}
	return prefill<T, DK, DV, HQ, HKV>(q, k, v, out, lse, m, batch, total_q, sm_scale, stream);
}
