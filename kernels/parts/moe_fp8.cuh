/*
 * moe_fp8.cuh - a mixture of experts with float8 weights and a scale for each block of
 * 128: routed tokens, two grouped matrix products, SwiGLU between them.
 *
 * Tokens are listed by expert; a tile of a product is up to BM of an expert's tokens and
 * 128 rows of its weights. Small batches are bound by reading the weights of the experts that are hit. What the first
 * product makes has 16 bits, and is written in the order in which the second takes it.
 */
#pragma once

#include "fp8_mma.cuh"

#include <algorithm>

struct moe_shape {
	static constexpr int H = AX_hidden_size, I = AX_intermediate_size;
	static constexpr int E = AX_num_local_experts;
	static constexpr int TOP = P_top_k;
	static_assert(H % 128 == 0 && I % 128 == 0, "sizes of whole scale blocks");
	static_assert(AX_gemm1_out_size == 2 * I, "gate and up");
};

struct moe_args {
	const ob_float8_e4m3fn *x, *w1, *w2;
	const float *xs, *ws1, *ws2;	/* [H / 128][tokens], [E][2I / 128][H / 128], [E][H / 128][I / 128] */
	ob_bfloat16 *out;
	int tokens, tiles;		/* at most */
	/* scratch */
	int *expert, *slot;		/* [tokens * TOP]: local expert or -1; then token list */
	float *weight;			/* [tokens * TOP] */
	int *count, *cursor;		/* [E] */
	int *tile_expert, *tile_first, *tile_end, *ntiles;	/* and its part of the list */
	float *listed;			/* weight of a list entry */
	ob_float16 *mid;		/* [tokens * TOP][I], each 64 with a power of two */
	float *mids;			/* [tokens * TOP][I / 64] */
	float *sum;			/* [tokens][H] */
};

/* The tokens of each expert are a list's run, and in tiles of `bm`. */
static __global__ void __launch_bounds__(256) moe_list(moe_args a, int bm)
{
	__shared__ int warps[2][8];
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32, total[2] = {};	/* tokens, tiles */

	for (int base = 0; base < moe_shape::E; base += 256) {
		int e = base + threadIdx.x, n[2] = { e < moe_shape::E ? a.count[e] : 0 }, at[2];

		n[1] = (n[0] + bm - 1) / bm;
		for (int i = 0; i < 2; i++) {
			at[i] = n[i];
			for (int o = 1; o < 32; o *= 2) {
				int v = __shfl_up_sync(~0u, at[i], o);

				at[i] += lane >= o ? v : 0;
			}
			if (lane == 31)
				warps[i][warp] = at[i];
		}
		__syncthreads();
		for (int i = 0; i < 2; i++) {
			at[i] += total[i] - n[i];
			for (int w = 0; w < 8; w++) {
				at[i] += w < warp ? warps[i][w] : 0;
				total[i] += warps[i][w];
			}
		}
		__syncthreads();
		if (e >= moe_shape::E)
			continue;
		a.cursor[e] = at[0];
		for (int i = 0; i < n[1]; i++) {
			a.tile_expert[at[1] + i] = e;
			a.tile_first[at[1] + i] = at[0] + i * bm;
			a.tile_end[at[1] + i] = at[0] + min(n[0], (i + 1) * bm);
		}
	}
	if (threadIdx.x == 0)
		*a.ntiles = total[1];
}

static __global__ void moe_scatter(moe_args a)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;

	if (i >= a.tokens * moe_shape::TOP || a.expert[i] < 0)
		return;
	int to = atomicAdd(a.cursor + a.expert[i], 1);
	a.slot[to] = i / moe_shape::TOP;
	a.listed[to] = a.weight[i];
}

#include "moe_sm90.cuh"

/*
 * FIRST: mid = silu(x W_up) (x W_gate), columns of both halves in one tile (64 each).
 * Else: sum += weight * (mid W2).
 */
template <int BM, bool FIRST>
static __global__ void __launch_bounds__(128) moe_gemm(moe_args a)
{
	using S = moe_shape;
	using T = fp8_tile<BM, !FIRST>;
	constexpr int K = FIRST ? S::H : S::I, MT = T::MT, NT = T::NT;
	extern __shared__ __align__(128) char smem[];
	__shared__ int rows[BM];
	int tile = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	int g = lane / 4, t = lane % 4;

	if (tile >= *a.ntiles)
		return;
	int e = a.tile_expert[tile], first = a.tile_first[tile];
	int m = a.tile_end[tile] - first;
	for (int i = threadIdx.x; i < BM; i += 128)
		rows[i] = i < m ? FIRST ? a.slot[first + i] : first + i : -1;
	__syncthreads();
	const ob_float8_e4m3fn *w = FIRST ? a.w1 + (int64_t)e * 2 * S::I * S::H :
		a.w2 + (int64_t)e * S::H * S::I;
	/* row r of the tile's weights: 64 of each half for FIRST */
	auto wrow = [&](int r) {
		return FIRST ? (int)(blockIdx.x * 64 + r % 64 + r / 64 * S::I) :
			(int)(blockIdx.x * T::BN + r);
	};
	auto left = [&](int r) -> struct fp8_row {
		int row = rows[r], some = max(row, 0);

		return { FIRST ? (const char *)(a.x + (int64_t)some * K) : (const char *)(a.mid + (int64_t)some * K), row >= 0 };
	};
	auto right = [&](int r) -> struct fp8_row { return { (const char *)(w + (int64_t)wrow(r) * K), true }; };
	auto scale = [&](int k, int p, int r) {
		int row = rows[r];

		return row < 0 ? 0 : FIRST ? a.xs[(int64_t)k * a.tokens + row] :
			a.mids[(int64_t)row * (S::I / 64) + k * 2 + p];
	};
	/* of the weights, a block of 128 by 128: a warp's rows are in one */
	int block = wrow(warp * 32) / 128;
	const float *wscale = FIRST ? a.ws1 + ((int64_t)e * (2 * S::I / 128) + block) * (S::H / 128) :
		a.ws2 + ((int64_t)e * (S::H / 128) + block) * (S::I / 128);
	float acc[MT][NT][4];

	fp8_product<BM, !FIRST, K>(smem, acc, left, right, scale, [&](int k) { return wscale[k]; });
	if constexpr (FIRST) {
		/* the halves meet in shared memory: warps 0, 1 have x1, warps 2, 3 the gate */
		float *both = (float *)smem;

		#pragma unroll
		for (int i = 0; i < MT; i++)
			#pragma unroll
			for (int n = 0; n < NT; n++)
				#pragma unroll
				for (int h = 0; h < 2; h++)
					*(float2 *)(both + (i * 16 + h * 8 + g) * 132 + warp * 32 + n * 8 + t * 2) =
						make_float2(acc[i][n][h * 2], acc[i][n][h * 2 + 1]);
		__syncthreads();
		/* float16 has the precision, a power of two for each row brings the range */
		constexpr int per = 128 / BM, cols = 64 / per;
		int r = threadIdx.x / per, c0 = threadIdx.x % per * cols, power;
		float top = 0, v[cols];

		#pragma unroll
		for (int c = 0; c < cols; c++) {
			float x = both[r * 132 + c0 + c], y = both[r * 132 + 64 + c0 + c];

			v[c] = y / (1 + expf(-y)) * x;
			top = fmaxf(top, fabsf(v[c]));
		}
		for (int o = 1; o < per; o *= 2)
			top = fmaxf(top, __shfl_xor_sync(~0u, top, o));
		frexpf(top, &power);
		power -= 14;
		if (r < m) {
			ob_float16 *to = a.mid + (int64_t)(first + r) * S::I + blockIdx.x * 64;

			#pragma unroll
			for (int c = 0; c < cols; c += 2)
				*(uint32_t *)(to + fp8_place(c0 + c)) = pack2<ob_float16>(ldexpf(v[c], -power), ldexpf(v[c + 1], -power));
			if (c0 == 0)
				a.mids[(int64_t)(first + r) * (S::I / 64) + blockIdx.x] = ldexpf(1, power);
		}
	} else {
		#pragma unroll
		for (int i = 0; i < MT; i++)
			#pragma unroll
			for (int h = 0; h < 2; h++) {
				int r = i * 16 + h * 8 + g;

				if (r >= m)
					continue;
				float weight = a.listed[first + r];
				float *to = a.sum + (int64_t)a.slot[first + r] * S::H + blockIdx.x * T::BN + warp * 32;

				#pragma unroll
				for (int n = 0; n < NT; n++) {
					atomicAdd(to + n * 8 + t * 2, weight * acc[i][n][h * 2]);
					atomicAdd(to + n * 8 + t * 2 + 1, weight * acc[i][n][h * 2 + 1]);
				}
			}
	}
}

static __global__ void moe_finish(moe_args a, int64_t n)
{
	int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
	float4 v = {};
	bool any = false;	/* of the experts that the token goes to, if not all are here */

	if (i >= n)
		return;
	#pragma unroll
	for (int k = 0; k < moe_shape::TOP; k++)
		any |= a.expert[i / (moe_shape::H / 4) * moe_shape::TOP + k] >= 0;
	if (any)
		v = ((const float4 *)a.sum)[i];
	((uint2 *)a.out)[i] = make_uint2(pack2<ob_bfloat16>(v.x, v.y), pack2<ob_bfloat16>(v.z, v.w));
}

/* Scratch memory in pieces of whole 256 bytes; with base NULL only the sum. */
static size_t moe_layout(moe_args *a, char *base)
{
	size_t at = 0, n = (size_t)a->tokens * moe_shape::TOP;
	auto take = [&](auto **p, size_t count) {
		*p = (typename std::remove_reference<decltype(*p)>::type)(base + at);
		at += (count * sizeof **p + 255) / 256 * 256;
	};

	a->tiles = (int)(n / 16) + moe_shape::E;
	take(&a->count, moe_shape::E);
	take(&a->sum, (size_t)a->tokens * moe_shape::H);
	take(&a->expert, n);
	take(&a->slot, n);
	take(&a->weight, n);
	take(&a->listed, n);
	take(&a->cursor, moe_shape::E);
	take(&a->tile_expert, (size_t)a->tiles);
	take(&a->tile_first, (size_t)a->tiles);
	take(&a->tile_end, (size_t)a->tiles);
	take(&a->ntiles, 1);
	take(&a->mid, n * moe_shape::I);
	take(&a->mids, n * (moe_shape::I / 64));
	return at;
}

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	moe_args a = {};

	a.tokens = (int)DIM(hidden_states, 0);
	return moe_layout(&a, nullptr);
}

/* The arguments that every routing has, and zeroed counts and sums. */
static moe_args moe_begin(const struct ob_arg *arg, void *workspace, cudaStream_t stream)
{
	moe_args a = {};

	a.x = TENSOR(hidden_states);
	a.xs = TENSOR(hidden_states_scale);
	a.w1 = TENSOR(gemm1_weights);
	a.ws1 = TENSOR(gemm1_weights_scale);
	a.w2 = TENSOR(gemm2_weights);
	a.ws2 = TENSOR(gemm2_weights_scale);
	a.out = TENSOR(output);
	a.tokens = (int)DIM(hidden_states, 0);
	if (!a.tokens)
		return a;
	moe_layout(&a, (char *)workspace);
	/* counts and sums lie first, one behind the other */
	cudaMemsetAsync(workspace, 0, (char *)(a.sum + (size_t)a.tokens * moe_shape::H) -
			(char *)workspace, stream);
	return a;
}

static void moe_lists(const moe_args &a, int bm, cudaStream_t stream)
{
	moe_list<<<1, 256, 0, stream>>>(a, bm);
	moe_scatter<<<(a.tokens * moe_shape::TOP + 255) / 256, 256, 0, stream>>>(a);
}

template <int BM> static void moe_products(const moe_args &a, cudaStream_t stream)
{
	using S = moe_shape;
	constexpr int one = fp8_tile<BM, false>::smem, two = fp8_tile<BM, true>::smem, both = BM * 132 * 4;
	constexpr int smem1 = one > both ? one : both;
	static int ready;
	unsigned tiles = (unsigned)((int64_t)a.tokens * S::TOP / BM + S::E);

	if (!ready) {
		cudaFuncSetAttribute(moe_gemm<BM, true>, cudaFuncAttributeMaxDynamicSharedMemorySize, smem1);
		cudaFuncSetAttribute(moe_gemm<BM, false>, cudaFuncAttributeMaxDynamicSharedMemorySize, two);
	}
	ready = 1;
	moe_lists(a, BM, stream);
	moe_gemm<BM, true><<<dim3(S::I / 64, tiles), 128, smem1, stream>>>(a);
	moe_gemm<BM, false><<<dim3(S::H / 128, tiles), 128, two, stream>>>(a);
}

/* By wgmma; false: there is none here. */
static bool moe_products_hopper(const moe_args &a, cudaStream_t stream)
{
	using S = moe_shape;
	using P = moe_hopper;
	static int able = -1;
	moe_boxes maps = {};
	int64_t tiles = (int64_t)a.tokens * S::TOP / P::rows + S::E;

	if (able < 0)
		able = hopper_able((const void *)moe_first, P::smem) && hopper_able((const void *)moe_second, P::smem2);
	/* bytes of weights as half as many numbers of 16 bits */
	if (!able || !tile_map(&maps.w1, a.w1, 1, (int64_t)S::E * 2 * S::I, 1, S::H / 2, 1, 64) ||
	    !tile_map(&maps.w2, a.w2, 1, (int64_t)S::E * S::H, 1, S::I / 2, 1, 128) ||
	    !tile_map(&maps.mid, a.mid, 1, (int64_t)a.tokens * S::TOP, 1, S::I, 1, P::rows))
		return false;
	moe_lists(a, P::rows, stream);
	moe_first<<<(unsigned)std::min<int64_t>(tiles * (S::I / 64), sm_count()), P::threads, P::smem, stream>>>(a, maps);
	moe_second<<<(unsigned)std::min<int64_t>(tiles * (S::H / 128), sm_count()), P::threads, P::smem2, stream>>>(a, maps);
	return true;
}

/* After a.expert, a.weight and a.count are set. */
static int moe_experts(const moe_args &a, cudaStream_t stream)
{
	using S = moe_shape;
	int64_t each = (int64_t)a.tokens * S::TOP / S::E, n = (int64_t)a.tokens * S::H / 4;

	if (each <= 16)
		moe_products<16>(a, stream);
	else if (each < 48 || !moe_products_hopper(a, stream))
		moe_products<64>(a, stream);
	moe_finish<<<(unsigned)((n + 255) / 256), 256, 0, stream>>>(a, n);
	return cudaGetLastError();
}

/*
 * The TOP largest of n scores, one a lane and round; equal scores: the lower index first. Each
 * lane gets the index of its rank (lanes < TOP).
 */
template <int PER>
static __device__ int moe_top(float *score, int n)
{
	int lane = threadIdx.x % 32, mine = -1;

	for (int k = 0; k < moe_shape::TOP; k++) {
		float best = -INFINITY;
		int at = n;

		#pragma unroll
		for (int i = 0; i < PER; i++)
			if (i * 32 + lane < n && score[i] > best) {
				best = score[i];
				at = i * 32 + lane;
			}
		for (int o = 16; o; o >>= 1) {
			float b = __shfl_xor_sync(~0u, best, o);
			int x = __shfl_xor_sync(~0u, at, o);

			if (b > best || (b == best && x < at)) {
				best = b;
				at = x;
			}
		}
		if (lane == k)
			mine = at < n ? at : -1;
		#pragma unroll
		for (int i = 0; i < PER; i++)
			if (i * 32 + lane == at)
				score[i] = -INFINITY;
	}
	return mine;
}
