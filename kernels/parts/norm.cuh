/*
 * norm.cuh - RMSNorm of rows, with an addition before it or a weight of 1 + w.
 *
 * Memory-bound: each row is read once and kept in registers, by a part of a warp, a warp, or a block. What a thread
 * asks for at a time is four 16-byte vectors, of one long row or of both tensors of a sum, or two of two short rows:
 * less is too little to keep the memory busy. Few rows do not anyway: then a thread has half of it, and less to do.
 */
#pragma once

#include "cuda.cuh"

#include <type_traits>

template <typename T, int HIDDEN, bool ADD, bool FEW> struct norm_shape {
	static constexpr int vectors = HIDDEN / vec<T>::n;
	static constexpr bool narrow = vectors <= 64;
	static constexpr int lanes = vectors > 32 && FEW ? 64 : vectors > 16 ? 32 : vectors > 8 ? 16 : vectors > 4 ? 8 : 4;
	static constexpr int own = FEW || ADD || vectors < 256 ? 2 : 4;	/* of a long row, up to 1024 threads of it */
	static constexpr int threads = narrow ? lanes :		/* of a row */
		vectors > own * 1024 ? 1024 : (vectors + own * 32 - 1) / (own * 32) * 32;
	static constexpr int each = (vectors + threads - 1) / threads;	/* vectors of a row */
	static constexpr int rows = narrow && !FEW && !ADD ? 2 : 1;	/* of a thread */
	static constexpr int groups = narrow ? 128 / threads : 1;	/* of threads, in a block */
	/* long rows: registers leave room for so many blocks on a multiprocessor that these ask for 48 or 64 kB at a time */
	static constexpr int most = narrow || ADD ? 1024 : threads;	/* of a block, for the compiler */
	static constexpr int per_sm = (own == 4 ? 1024 : 1536) / most;
};

/* Every thread gets the sums of its group's. */
template <int THREADS, int GROUPS, int ROWS>
static __device__ __forceinline__ void group_sums(float (&x)[ROWS])
{
	constexpr int LANES = THREADS < 32 ? THREADS : 32, WARPS = THREADS / 32;

	#pragma unroll
	for (int r = 0; r < ROWS; r++)
		x[r] = lanes_sum<LANES>(x[r]);
	if constexpr (WARPS > 1) {
		__shared__ float part[GROUPS][ROWS][WARPS];
		auto &own = part[GROUPS > 1 ? threadIdx.y : 0];

		#pragma unroll
		for (int r = 0; r < ROWS; r++)
			if (threadIdx.x % 32 == 0)
				own[r][threadIdx.x / 32] = x[r];
		__syncthreads();
		#pragma unroll
		for (int r = 0; r < ROWS; r++) {
			if constexpr (WARPS > 4) {	/* reading more at once takes registers, and rows in flight with them */
				x[r] = warp_sum(threadIdx.x % 32 < WARPS ? own[r][threadIdx.x % 32] : 0);
				continue;
			}
			x[r] = own[r][0];
			#pragma unroll
			for (int i = 1; i < WARPS; i++)		/* shuffles wait for each other */
				x[r] += own[r][i];
		}
	}
}

template <typename T, int HIDDEN, bool ADD, bool GEMMA, bool FEW>
static __global__ void
__launch_bounds__(norm_shape<T, HIDDEN, ADD, FEW>::most, norm_shape<T, HIDDEN, ADD, FEW>::per_sm)
norm_kernel(const T *x, const T *add, const T *weight, T *out, int64_t n, float eps)
{
	using S = norm_shape<T, HIDDEN, ADD, FEW>;
	constexpr int V = vec<T>::n, R = S::rows;
	int64_t row = ((int64_t)blockIdx.x * S::groups + threadIdx.y) * R;
	/* a row as it is: as floats it takes registers, and other rows out of flight; a sum is more than a T holds */
	std::conditional_t<ADD, float, T> f[R][S::each][V];
	float sum[R] = {};
	vec<T> w[S::each];

	/* asked for first: it is there when the sum is */
	#pragma unroll
	for (int i = 0; i < S::each; i++)
		if (int at = (threadIdx.x + i * S::threads) * V; S::vectors % S::threads == 0 || at < HIDDEN)
			w[i] = load16(weight + at);
	#pragma unroll
	for (int r = 0; r < R; r++) {
		/* where there are no more rows the last one again: without a branch all loads go out together */
		int64_t from = min(row + r, n - 1) * HIDDEN;

		#pragma unroll
		for (int i = 0; i < S::each; i++) {
			int at = (threadIdx.x + i * S::threads) * V;
			vec<T> a, b;

			if (S::vectors % S::threads && at >= HIDDEN)
				continue;
			a = load16(x + from + at);
			if (ADD)
				b = load16(add + from + at);
			#pragma unroll
			for (int k = 0; k < V; k++) {
				float v = to_float(a.v[k]) + (ADD ? to_float(b.v[k]) : 0);

				if constexpr (ADD)
					f[r][i][k] = v;
				else
					f[r][i][k] = a.v[k];
				sum[r] += v * v;
			}
		}
	}
	group_sums<S::threads, S::groups>(sum);
	#pragma unroll
	for (int r = 0; r < R; r++) {
		float scale = rsqrtf(sum[r] / HIDDEN + eps);

		#pragma unroll
		for (int i = 0; i < S::each; i++) {
			int at = (threadIdx.x + i * S::threads) * V;
			vec<T> y;

			if ((R * S::groups > 1 && row + r >= n) || (S::vectors % S::threads && at >= HIDDEN))
				continue;
			#pragma unroll
			for (int k = 0; k < V; k++)
				y.v[k] = from_float<T>(to_float(f[r][i][k]) * scale *
						       ((GEMMA ? 1 : 0) + to_float(w[i].v[k])));
			if constexpr (S::rows > 1)	/* leaves the L2 first: 3 % of many short rows */
				__stcs((uint4 *)(out + (row + r) * HIDDEN + at), *(const uint4 *)&y);
			else
				store16(out + (row + r) * HIDDEN + at, y);
		}
	}
}

template <typename T, int HIDDEN, bool ADD, bool GEMMA, bool FEW>
static int norm_rows(const T *x, const T *add, const T *weight, T *out, int64_t n, float eps, cudaStream_t stream)
{
	using S = norm_shape<T, HIDDEN, ADD, FEW>;
	constexpr int rows = S::groups * S::rows;

	if (n)
		norm_kernel<T, HIDDEN, ADD, GEMMA, FEW><<<(unsigned)((n + rows - 1) / rows),
			dim3(S::threads, S::groups), 0, stream>>>(x, add, weight, out, n, eps);
	return cudaGetLastError();
}

template <typename T, int HIDDEN, bool ADD, bool GEMMA>
static int norm(const T *x, const T *add, const T *weight, T *out, int64_t n,
		float eps, cudaStream_t stream)
{
	using few = norm_shape<T, HIDDEN, ADD, true>;
	static_assert(HIDDEN % vec<T>::n == 0, "rows of whole 16-byte vectors");
	if constexpr (few::narrow || few::own < norm_shape<T, HIDDEN, ADD, false>::own)
		/* up to so many vectors on a multiprocessor: one a thread of short rows, two of long ones */
		if (n * few::vectors <= (int64_t)sm_count() * (few::narrow ? 512 : 2560))
			return norm_rows<T, HIDDEN, ADD, GEMMA, true>(x, add, weight, out, n, eps, stream);
	return norm_rows<T, HIDDEN, ADD, GEMMA, false>(x, add, weight, out, n, eps, stream);
}

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}
