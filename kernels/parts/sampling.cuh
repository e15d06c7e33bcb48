/*
 * sampling.cuh - tokens drawn from rows of probabilities, kept by top-k, top-p,
 * min-p, or top-k and then top-p; or the kept ones, made to sum to 1.
 *
 * Bound by reading the row once: a cluster of blocks takes a row, each its part of it in registers.
 * The smallest probability that is kept is found bit by bit, ten at a time, from
 * counts (top-k) or sums (top-p) of the values with the same leading bits; sums are
 * integers (2^-31), so that the order of additions does not show. Then one of
 * the kept is drawn by its share. sm_80 has no clusters: one block, which
 * reads the row from L2 in each pass.
 */
#pragma once

#include "cuda.cuh"

#include <cooperative_groups.h>

enum { SAMPLE_THREADS = 1024, SAMPLE_BINS = 1024 };

#ifdef ARG_renormalized
static constexpr bool sample_renorms = true;
#else
static constexpr bool sample_renorms = false;
#endif

struct sample_args {
	const float *probs;
	const int *top_k;	/* or NULL */
	const float *top_p, *min_p;
	int64_t *samples;
	float *renormalized;	/* or these rows: sample_renorms */
	unsigned long long *state;	/* calls so far, rows that are done */
	int rows;
};

/* splitmix64 of (call, row): 24 bits, 0 <= u < 1. */
static __device__ __forceinline__ float sample_random(unsigned long long call, int row)
{
	unsigned long long z = call * 0x9e3779b97f4a7c15ull + (unsigned)row * 0xda942042e4dd58b5ull +
		0x2545f4914f6cdd1dull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	z ^= z >> 31;
	return (float)(z >> 40) * (1.0f / 16777216);
}

static __device__ __forceinline__ unsigned sample_mass(float p)
{
	return (unsigned)fminf(p * 2147483648.0f, 4294967040.0f);
}

/* Exclusive sums of one number a thread, and the total. */
static __device__ unsigned long long sample_scan(unsigned long long v, unsigned long long *warps,
						 unsigned long long *total)
{
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	unsigned long long x = v, w;

	for (int o = 1; o < 32; o *= 2) {
		unsigned long long y = __shfl_up_sync(~0u, x, o);

		if (lane >= o)
			x += y;
	}
	__syncthreads();
	if (lane == 31)
		warps[warp] = x;
	__syncthreads();
	w = warps[lane];
	for (int o = 1; o < 32; o *= 2) {
		unsigned long long y = __shfl_up_sync(~0u, w, o);

		if (lane >= o)
			w += y;
	}
	*total = __shfl_sync(~0u, w, 31);
	w = __shfl_sync(~0u, w, warp ? warp - 1 : 0);
	return (warp ? w : 0) + x - v;
}

template <int CLUSTER, int VOCAB> struct sample_shape {
	static constexpr int vectors = VOCAB / 4;
	static constexpr int each = (vectors + CLUSTER * SAMPLE_THREADS - 1) /
		(CLUSTER * SAMPLE_THREADS);	/* vectors a thread */
	static constexpr bool held = each <= 10;
	static_assert(VOCAB % 4 == 0, "rows of whole 16-byte vectors");
};

template <int CLUSTER, int VOCAB>
static __global__ void __launch_bounds__(SAMPLE_THREADS, 1) sample_kernel(sample_args a)
{
	using S = sample_shape<CLUSTER, VOCAB>;
	namespace cg = cooperative_groups;
	__shared__ unsigned both[2][SAMPLE_BINS];	/* in turns: one is cleared while peers read the other */
	__shared__ unsigned long long warps[32], mine, chosen[2];
	__shared__ unsigned sums[32];
	int rank = CLUSTER > 1 ? blockIdx.x % CLUSTER : 0, row = blockIdx.x / CLUSTER;
	const float4 *probs = (const float4 *)(a.probs + (int64_t)row * VOCAB);
	unsigned long long call = *(volatile unsigned long long *)a.state;
	float4 kept[S::held ? S::each : 1] = {};
	int turn = 0;

	auto sync = [&]() {
#if __CUDA_ARCH__ >= 900
		if (CLUSTER > 1) {
			cg::this_cluster().sync();
			return;
		}
#endif
		__syncthreads();
	};
	/* a peer's shared memory */
	auto peer = [&](auto *p, int r) {
#if __CUDA_ARCH__ >= 900
		if (CLUSTER > 1)
			return cg::this_cluster().map_shared_rank(p, r);
#endif
		return p;
	};
	auto index = [&](int i) { return (i * CLUSTER + rank) * SAMPLE_THREADS + (int)threadIdx.x; };
	auto value = [&](int i) {
		if constexpr (S::held)
			return kept[i];
		else
			return index(i) < S::vectors ? probs[index(i)] : make_float4(0, 0, 0, 0);
	};
	if constexpr (S::held) {
		#pragma unroll
		for (int i = 0; i < S::each; i++)
			kept[i] = index(i) < S::vectors ? __ldcs(probs + index(i)) :
				make_float4(0, 0, 0, 0);
	}
	/* f(p) of every value */
	auto each = [&](auto f) {
		#pragma unroll
		for (int i = 0; i < S::each; i++) {
			float4 v = value(i);

			f(v.x);
			f(v.y);
			f(v.z);
			f(v.w);
		}
	};
	/*
	 * The largest floor (bits of a float) such that the values that reach it are at least `want`
	 * numbers, or the share p of the mass, together; values under `floor` do not take part. (Renormalised are those that reach p
	 * itself: rows sum to 1, or nearly.)
	 */
	auto select = [&](unsigned floor, unsigned long long want, bool by_mass, float p = 0) {
		unsigned prefix = 0;

		for (int level = 0; level < 3; level++, turn++) {
			int shift = 20 - level * 10;
			unsigned long long above, total, here;
			unsigned *bins = both[turn & 1];

			each([&](float p) {
				unsigned bits = __float_as_uint(p);

				if (bits && bits < 0x40000000 && bits >= floor &&
				    (level == 0 || bits >> (shift + 10) == prefix))
					atomicAdd(&bins[bits >> shift & 1023], by_mass ? sample_mass(p) : 1);
			});
			sync();
			/* all have read the other ones */
			for (int i = threadIdx.x; i < SAMPLE_BINS; i += SAMPLE_THREADS)
				both[~turn & 1][i] = 0;
			/* the cluster's, from the top: thread t has bin 1023 - t */
			here = 0;
			for (int r = 0; r < CLUSTER; r++)
				here += peer(bins, r)[SAMPLE_BINS - 1 - threadIdx.x];
			above = sample_scan(here, warps, &total);
			if (by_mass && level == 0) {
				want = (unsigned long long)((sample_renorms ? 2147483648.0 : (double)total) * p);
				want = want ? want : 1;
			}
			if (threadIdx.x == 0)
				chosen[0] = ~0ull;
			__syncthreads();
			if (above < want && above + here >= want) {
				chosen[0] = SAMPLE_BINS - 1 - threadIdx.x;
				chosen[1] = above;
			}
			__syncthreads();
			if (chosen[0] == ~0ull) {	/* all of them do not reach it */
				turn++;
				return floor;
			}
			prefix = prefix << 10 | (unsigned)chosen[0];
			want -= chosen[1];
		}
		return prefix > floor ? prefix : floor;
	};
	for (int i = threadIdx.x; i < 2 * SAMPLE_BINS; i += SAMPLE_THREADS)
		both[0][i] = 0;
	__syncthreads();
	unsigned floor = 0;
	if (a.min_p) {
		float top = 0;

		each([&](float p) { top = fmaxf(top, p); });
		top = warp_max(top);
		if (threadIdx.x % 32 == 0)
			sums[threadIdx.x / 32] = __float_as_uint(top);
		__syncthreads();
		top = warp_max(__uint_as_float(sums[threadIdx.x % 32]));
		if (threadIdx.x == 0)
			mine = __float_as_uint(top);
		sync();
		for (int r = 0; r < CLUSTER; r++)
			top = fmaxf(top, __uint_as_float((unsigned)*peer(&mine, r)));
		sync();
		floor = __float_as_uint(fmaxf(top * a.min_p[row], 0));
	}
	if (a.top_k) {
		int k = a.top_k[row];

		if (k > 0 && k < VOCAB)
			floor = select(floor, k, false);
	}
	if (a.top_p) {
		float p = a.top_p[row];

		if (p <= 0)			/* the most likely one */
			floor = select(floor, 1, false);
		else if (p < 1)
			floor = select(floor, 0, true, p);
	}
	if constexpr (sample_renorms) {
		float4 *out = (float4 *)(a.renormalized + (int64_t)row * VOCAB);
		float *part = (float *)sums, sum = 0, inv;
		auto keep = [&](float p) { return __float_as_uint(p) >= floor && p >= 0 ? p : 0; };

		each([&](float p) { sum += keep(p); });
		sum = warp_sum(sum);
		__syncthreads();
		if (threadIdx.x % 32 == 0)
			part[threadIdx.x / 32] = sum;
		__syncthreads();
		sum = warp_sum(part[threadIdx.x % 32]);
		if (threadIdx.x == 0)
			mine = __float_as_uint(sum);
		sync();
		sum = 0;
		for (int r = 0; r < CLUSTER; r++)
			sum += __uint_as_float((unsigned)*peer(&mine, r));
		inv = 1 / sum;
		#pragma unroll
		for (int i = 0; i < S::each; i++) {
			float4 v = value(i);

			if (index(i) < S::vectors)
				__stcs(out + index(i), make_float4(keep(v.x) * inv, keep(v.y) * inv, keep(v.z) * inv, keep(v.w) * inv));
		}
		sync();		/* peers may still read the sum */
		return;
	}
	/* draw: shares in units of 2^-31, at least one for what is kept */
	unsigned long long share = 0, before, total, all = 0, low = 0, at;
	auto weight = [&](float p) -> unsigned long long {
		unsigned bits = __float_as_uint(p);

		return bits >= floor && bits && bits < 0x80000000 ? (unsigned long long)sample_mass(p) + 1 : 0;
	};
	each([&](float p) { share += weight(p); });
	before = sample_scan(share, warps, &total);
	if (threadIdx.x == 0)
		mine = total;
	sync();
	for (int r = 0; r < CLUSTER; r++) {
		unsigned long long v = *peer(&mine, r);

		low += r < rank ? v : 0;
		all += v;
	}
	at = (unsigned long long)((double)all * sample_random(call, row));
	at = at >= all && all ? all - 1 : at;
	before += low;
	if (share && at >= before && at < before + share) {
		#pragma unroll
		for (int i = 0; i < S::each; i++) {
			float4 v = value(i);
			float p[4] = { v.x, v.y, v.z, v.w };

			#pragma unroll
			for (int k = 0; k < 4; k++) {
				unsigned long long w = weight(p[k]);

				if (w && at >= before && at < before + w)
					a.samples[row] = index(i) * 4 + k;
				before += w;
			}
		}
	}
	if (!all && rank == 0 && threadIdx.x == 0)
		a.samples[row] = 0;	/* a row without a probability */
	sync();
	if (rank == 0 && threadIdx.x == 0 &&
	    atomicAdd(a.state + 1, 1ull) == (unsigned long long)a.rows - 1) {
		a.state[1] = 0;		/* the last row: the next call draws anew */
		__threadfence();
		a.state[0] = call + 1;
	}
}

template <int CLUSTER, int VOCAB>
static int sample_launch(const sample_args &a, cudaStream_t stream)
{
	cudaLaunchConfig_t c = {};
	cudaLaunchAttribute at[1];

	c.gridDim = dim3((unsigned)a.rows * CLUSTER);
	c.blockDim = dim3(SAMPLE_THREADS);
	c.stream = stream;
	at[0].id = cudaLaunchAttributeClusterDimension;
	at[0].val.clusterDim.x = CLUSTER;
	at[0].val.clusterDim.y = at[0].val.clusterDim.z = 1;
	c.attrs = at;
	c.numAttrs = CLUSTER > 1;
	return cudaLaunchKernelEx(&c, sample_kernel<CLUSTER, VOCAB>, a);
}

template <int VOCAB> static int sample(const sample_args &a, cudaStream_t stream)
{
	static int clusters = -1;
	int dev = 0, major = 0;

	if (clusters < 0) {
		cudaGetDevice(&dev);
		cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, dev);
		clusters = major >= 9;
	}
	if (!a.rows)
		return 0;
	if (!clusters)
		return sample_launch<1, VOCAB>(a, stream);
	return a.rows * 8 <= sm_count() ? sample_launch<8, VOCAB>(a, stream) :
		sample_launch<4, VOCAB>(a, stream);
}

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 16;
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	sample_args a = { TENSOR(probs) };

#ifdef ARG_renormalized
	a.renormalized = TENSOR(renormalized);
#else
	a.samples = TENSOR(samples);
#endif
	a.state = (unsigned long long *)workspace;
	a.rows = (int)DIM(probs, 0);
#ifdef ARG_top_k
	a.top_k = TENSOR(top_k);
#endif
#ifdef ARG_top_p
	a.top_p = TENSOR(top_p);
#endif
#ifdef ARG_min_p
	a.min_p = TENSOR(min_p);
#endif
	return sample<AX_vocab_size>(a, (cudaStream_t)stream);
}
