/*
 * prefill.cuh - causal attention of many query tokens a request, over keys that are
 * rows in memory (ragged) or pages: the portable version, sm_80 and later.
 *
 * A block takes 128 rows of a request and KV head; the query heads that share the
 * KV head are packed with the tokens, so that its keys are read once for
 * all of them. Four warps of 32 rows; keys and values go through shared
 * memory in tiles of 64 (32 where a row is long), two of them in flight. The online softmax is in base 2.
 * Where all rows are few, blocks have 64.
 */
#pragma once

#include "attend.cuh"
#include "work.cuh"

template <typename T, int DK, int DV, int HQ, int HKV, int ROWS> struct prefill_shape {
	static constexpr int G = HQ / HKV;
	static constexpr int rows = ROWS, tile = DK + DV <= 320 ? 64 : 32, warps = 4, threads = 128;
	static constexpr int frags = rows / warps / 16;		/* of 16 rows, a warp's */
	static constexpr int krow = DK * 2, vrow = DV * 2;
	static constexpr int q_bytes = rows * krow, k_bytes = tile * krow, v_bytes = tile * vrow;
	static constexpr int stages = 2;
	static constexpr int smem = q_bytes + stages * (k_bytes + v_bytes);
	static_assert(DK % 64 == 0 && DV % 64 == 0, "head dims of whole 64s");
	static_assert(smem <= 163 * 1024, "sm_80 has that much shared memory");
};

template <int CHUNKS>
static __device__ __forceinline__ uint32_t prefill_at(int r, int c)
{
	return (uint32_t)((r * CHUNKS + ((c & ~7) | ((c ^ r) & 7))) * 16);
}

/*
 * M: request b has queries q_from(b)..q_to(b) and kv_len(b) tokens, token n of
 * which is row token(b, n) of k and v (rows of HKV heads).
 */
template <typename T, int DK, int DV, int HQ, int HKV, int ROWS, typename M>
static __global__ void __launch_bounds__(128, DK <= 128 ? 2 : 1)
prefill_kernel(const T *q, const T *k, const T *v, T *out, float *lse, const attend_sink *sinks, M m, int batch,
	       float scale)
{
	using S = prefill_shape<T, DK, DV, HQ, HKV, ROWS>;
	constexpr int KC = DK / 8, VC = DV / 8, MI = S::frags;
	extern __shared__ __align__(128) char smem[];
	uint32_t qs = smem_at(smem), ks = qs + S::q_bytes, vs = ks + S::stages * S::k_bytes;
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	auto units = [&](int b) -> int64_t {
		return (int64_t)((m.q_to(b) - m.q_from(b)) * S::G + S::rows - 1) / S::rows * HKV;
	};
	/* one unit a block; the last rows of a request see the most and begin first */
	struct run mine = units_run<S::threads>(batch, units, gridDim.x - 1 - blockIdx.x, gridDim.x);
	int b = mine.b;

	if (mine.from >= mine.to)
		return;
	int head = (int)(mine.before % HKV), first = (int)(mine.before / HKV) * S::rows;
	int q_from = m.q_from(b), q_len = m.q_to(b) - q_from, kv_len = m.kv_len(b);
	int shift = kv_len - q_len;		/* query i sees keys up to i + shift */
	int last_row = min(first + S::rows, q_len * S::G) - 1;
	int seen = min(kv_len, last_row / S::G + shift + 1);
	int tiles = seen > 0 ? (seen + S::tile - 1) / S::tile : 0;
	int from = attend_from(first / S::G + shift + 1) / S::tile;	/* the first that any row sees */

	for (int i = threadIdx.x; i < S::rows * KC; i += S::threads) {
		int r = i / KC, c = i % KC, row = first + r;
		bool there = row < q_len * S::G;
		int64_t at = there ? (int64_t)(q_from + row / S::G) * HQ + head * S::G + row % S::G : 0;

		copy16(qs + prefill_at<KC>(r, c), q + at * DK + c * 8, there);
	}
	auto copy_tile = [&](int t) {
		constexpr int lanes = 8, step = S::threads / lanes;
		int ln = threadIdx.x % lanes, stage = t % S::stages;

		#pragma unroll
		for (int i = 0; i < S::tile / step; i++) {
			int r = threadIdx.x / lanes + i * step, n = t * S::tile + r;
			bool there = n < seen;
			int64_t at = ((there ? m.token(b, n) : 0) * HKV + head);

			#pragma unroll
			for (int c = 0; c < KC; c += lanes)
				copy16(ks + stage * S::k_bytes + prefill_at<KC>(r, c + ln),
				       k + at * DK + (c + ln) * 8, there);
			#pragma unroll
			for (int c = 0; c < VC; c += lanes)
				copy16(vs + stage * S::v_bytes + prefill_at<VC>(r, c + ln),
				       v + at * DV + (c + ln) * 8, there);
		}
	};
	float o[MI][DV / 8][4] = {}, mx[MI][2], l[MI][2] = {};

	#pragma unroll
	for (int j = 0; j < MI; j++)
		mx[j][0] = mx[j][1] = -INFINITY;
	if (from < tiles)
		copy_tile(from);
	copy_commit();
	for (int t = from; t < tiles; t++) {
		float s[MI][S::tile / 8][4] = {};
		uint32_t kt = ks + t % S::stages * S::k_bytes, vt = vs + t % S::stages * S::v_bytes;

		if (t + 1 < tiles)
			copy_tile(t + 1);
		copy_commit();
		copy_wait<1>();
		__syncthreads();
		#pragma unroll
		for (int i = 0; i < DK / 16; i++) {
			uint32_t qa[MI][4], f[4];

			#pragma unroll
			for (int j = 0; j < MI; j++)
				ldm4(qa[j], qs + prefill_at<KC>(warp * 16 * MI + j * 16 + lane % 16,
								i * 2 + lane / 16));
			#pragma unroll
			for (int n = 0; n < S::tile / 16; n++) {
				ldm4(f, kt + prefill_at<KC>(n * 16 + lane % 8 + lane / 16 * 8,
							    i * 2 + lane / 8 % 2));
				#pragma unroll
				for (int j = 0; j < MI; j++) {
					mma(s[j][n * 2], qa[j], f[0], f[1], T());
					mma(s[j][n * 2 + 1], qa[j], f[2], f[3], T());
				}
			}
		}
		bool edge = (t + 1) * S::tile > first / S::G + shift + 1 || (t + 1) * S::tile > seen ||
			t * S::tile < attend_from(last_row / S::G + shift + 1);
		#pragma unroll
		for (int j = 0; j < MI; j++)
			#pragma unroll
			for (int h = 0; h < 2; h++) {
				int row = first + warp * 16 * MI + j * 16 + h * 8 + lane / 4;
				int limit = min(seen, row / S::G + shift + 1), begin = attend_from(row / S::G + shift + 1);
				float top = mx[j][h], keep, by, sum = 0;

				#pragma unroll
				for (int n = 0; n < S::tile / 8; n++)
					#pragma unroll
					for (int e = 0; e < 2; e++) {
						float x = attend_logit(s[j][n][h * 2 + e], scale);
						int token = t * S::tile + n * 8 + lane % 4 * 2 + e;

						if (edge && (token >= limit || token < begin))
							x = -INFINITY;
						s[j][n][h * 2 + e] = x;
						top = fmaxf(top, x);
					}
				top = quad_max(top);
				keep = softmax_keep(mx[j][h], top);
				by = softmax_base(top);
				#pragma unroll
				for (int n = 0; n < S::tile / 8; n++)
					#pragma unroll
					for (int e = 0; e < 2; e++) {
						float x = exp2f(s[j][n][h * 2 + e] - by);

						s[j][n][h * 2 + e] = x;
						sum += x;
					}
				l[j][h] = l[j][h] * keep + sum;
				mx[j][h] = top;
				#pragma unroll
				for (int i = 0; i < DV / 8; i++) {
					o[j][i][h * 2] *= keep;
					o[j][i][h * 2 + 1] *= keep;
				}
			}
		#pragma unroll
		for (int i = 0; i < S::tile / 16; i++) {
			uint32_t pa[MI][4], f[4];

			#pragma unroll
			for (int j = 0; j < MI; j++) {
				pa[j][0] = pack2<T>(s[j][i * 2][0], s[j][i * 2][1]);
				pa[j][1] = pack2<T>(s[j][i * 2][2], s[j][i * 2][3]);
				pa[j][2] = pack2<T>(s[j][i * 2 + 1][0], s[j][i * 2 + 1][1]);
				pa[j][3] = pack2<T>(s[j][i * 2 + 1][2], s[j][i * 2 + 1][3]);
			}
			#pragma unroll
			for (int n = 0; n < DV / 16; n++) {
				ldm4t(f, vt + prefill_at<VC>(i * 16 + lane % 16, n * 2 + lane / 16));
				#pragma unroll
				for (int j = 0; j < MI; j++) {
					mma(o[j][n * 2], pa[j], f[0], f[1], T());
					mma(o[j][n * 2 + 1], pa[j], f[2], f[3], T());
				}
			}
		}
		__syncthreads();
	}
	copy_wait<0>();
	#pragma unroll
	for (int j = 0; j < MI; j++)
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			int row = first + warp * 16 * MI + j * 16 + h * 8 + lane / 4;
			float sum = l[j][h], inv;
			int64_t at = (int64_t)(q_from + row / S::G) * HQ + head * S::G + row % S::G;

			sum = quad_sum(sum);
			if (row >= q_len * S::G)
				continue;
			inv = row / S::G + shift < 0 ? 0 :	/* before all keys */
				attend_share(sum, mx[j][h], attend_sinks ? sinks + head * S::G + row % S::G : nullptr);
			#pragma unroll
			for (int i = 0; i < DV / 8; i++)
				*(uint32_t *)(out + at * DV + i * 8 + lane % 4 * 2) =
					pack2<T>(o[j][i][h * 2] * inv, o[j][i][h * 2 + 1] * inv);
			if (attend_lse && lane % 4 == 0)
				lse[at] = sum == 0 ? -INFINITY : mx[j][h] + log2f(sum);
		}
}

template <typename T, int DK, int DV, int HQ, int HKV, int ROWS, typename M>
static int prefill_rows(const T *q, const T *k, const T *v, T *out, float *lse, const attend_sink *sinks, M m, int batch,
			int64_t total_q, double sm_scale, cudaStream_t stream)
{
	using S = prefill_shape<T, DK, DV, HQ, HKV, ROWS>;
	static int ready;
	auto kernel = prefill_kernel<T, DK, DV, HQ, HKV, ROWS, M>;
	/* at most one block more a request than the rows fill */
	int64_t blocks = ((total_q * S::G + S::rows - 1) / S::rows + batch) * HKV;

	if (!ready)
		cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::smem);
	ready = 1;
	if (total_q)
		kernel<<<(unsigned)blocks, S::threads, S::smem, stream>>>(q, k, v, out, lse, sinks, m, batch,
				(float)(sm_scale * 1.4426950408889634));
	return cudaGetLastError();
}

/*
 * Whether so little is to be done that memory is waited for, of the code first of all: blocks of 64 rows, which are the least code,
 * take 2 to 3 us less than Hopper's products then (8 us). keys: of all requests, one of which may have them all.
 */
template <int HQ, int HKV> static bool prefill_few(int64_t total_q, int batch, int64_t keys)
{
	return keys <= 224 && ((total_q * (HQ / HKV) + 63) / 64 + batch) * HKV <= 3 * sm_count();
}

/*
 * For Hopper's copying engine: so many rows lie one after another in a page and are a box of 128-row tiles, 0: too few; and the
 * row and the page of the box that begins with token n.
 *
 * Keys and values are the rows kv_indptr[b] .. kv_indptr[b + 1].
 */
struct ragged_map {
	const int *qo, *kv;

	__device__ int q_from(int b) const { return qo[b]; }
	__device__ int q_to(int b) const { return qo[b + 1]; }
	__device__ int kv_len(int b) const { return kv[b + 1] - kv[b]; }
	__device__ int64_t token(int b, int n) const { return kv[b] + n; }
	static constexpr int box = 128;
	__device__ int2 box_at(int b, int n) const { return { kv[b] + n, 0 }; }
};

template <int PS> struct paged_map {
	const int *qo, *indptr, *indices, *last;

	__device__ int q_from(int b) const { return qo[b]; }
	__device__ int q_to(int b) const { return qo[b + 1]; }
	__device__ int kv_len(int b) const { return paged_len<PS>(indptr, last, b); }
	__device__ int64_t token(int b, int n) const { return paged_row<PS>(indptr, indices, b, n); }
	static constexpr int box = PS % 128 == 0 ? 128 : PS % 8 == 0 && 128 % PS == 0 ? PS : 0;
	__device__ int2 box_at(int b, int n) const { return { n % PS, indices[indptr[b] + n / PS] }; }
};
