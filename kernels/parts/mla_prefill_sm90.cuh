/*
 * mla_prefill_sm90.cuh - latent attention of a prefill on Hopper, by wgmma.
 *
 * All heads read the same keys, so the tokens' heads are rows one after another, 64 of them a block. Three
 * warpgroups: one copies tiles of 64 tokens, the others have 32 tokens of a tile each for
 * the logits and 256 columns each of the output. They tell each other the rows' maxima, and leave the
 * weights where the tile's positional keys were, which nobody needs any more. While a tile is worked on, the
 * next is copied; tiles go from the last to the first, as in prefill_sm90.cuh.
 */
#pragma once

#include "hopper.cuh"
#include "mla_prefill.cuh"
#include "prefill.cuh"

struct latent_shape {
	static constexpr int H = AX_num_qo_heads, rows = 64, tile = 64, panels = 9, stages = 2, threads = 384;
	static constexpr int panel = 64 * 128, kv_bytes = panels * panel;	/* 64 columns of 64 rows */
	static constexpr int smem = (1 + stages) * kv_bytes + 1024;
	static constexpr bool fits = AX_head_dim_ckv == 512 && AX_head_dim_kpe == 64;
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

#define WG_D128(d) WG_D64(d), WG_D16(d, 64), WG_D16(d, 80), WG_D16(d, 96), WG_D16(d, 112)

/* d[64][32] = or += a b, both in shared memory, columns along K. */
static __device__ __forceinline__ void latent_qk(float *d, uint64_t a, uint64_t b, int add)
{
	asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\n"
		     "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 "
		     "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15}, %16, %17, p, 1, 1, 0, 0;\n}"
		     : WG_D16(d, 0) : "l"(a), "l"(b), "r"(add));
}

/* d[64][256] += a b, both in shared memory, b with its rows along K. */
static __device__ __forceinline__ void latent_pv(float *d, uint64_t a, uint64_t b)
{
	asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
		     "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,"
		     "%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,"
		     "%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,%64,%65,%66,%67,%68,%69,%70,%71,"
		     "%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,"
		     "%95,%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113,"
		     "%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127}, %128, %129, 1, 1, 1, 0, 1;"
		     : WG_D128(d) : "l"(a), "l"(b));
}

#endif

template <typename M>
static __global__ void __launch_bounds__(384, 1) latent_kernel(mla_args a, M m, int batch)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
	using S = latent_shape;
	extern __shared__ char raw[];
	__shared__ __align__(8) uint64_t bars[2 * S::stages];
	__shared__ float told[2][S::rows];	/* of each of the two warpgroups */
	uint32_t qs = (smem_at(raw) + 1023) & ~1023u, ks = qs + S::kv_bytes, bar = smem_at(bars);
	int group = __shfl_sync(~0u, threadIdx.x / 128, 0), lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
	auto full = [&](int s) { return bar + s * 8; };
	auto empty = [&](int s) { return bar + (S::stages + s) * 8; };
	auto units = [&](int b) -> int64_t {
		return ((int64_t)(m.q_to(b) - m.q_from(b)) * S::H + S::rows - 1) / S::rows;
	};
	/* the last rows of a request see the most and come first */
	struct run mine = units_run<S::threads>(batch, units, gridDim.x - 1 - blockIdx.x, gridDim.x);

	if (mine.from >= mine.to)
		return;
	int b = mine.b, first = (int)mine.before * S::rows;
	int q_from = m.q_from(b), q_len = m.q_to(b) - q_from, kv_len = m.kv_len(b), shift = kv_len - q_len;
	int last_row = min(first + S::rows, q_len * S::H) - 1;
	int seen = min(kv_len, last_row / S::H + shift + 1);
	int tiles = seen > 0 ? (seen + S::tile - 1) / S::tile : 0;
	int64_t row0 = (int64_t)q_from * S::H + first;

	if (threadIdx.x < 2 * S::stages)
		bar_init(bar + threadIdx.x * 8, threadIdx.x < S::stages ? 128 : 256);
	/* all bring the queries */
	for (int i = threadIdx.x; i < S::rows * S::panels * 8; i += S::threads) {
		int c = i % 8, p = i / 8 % S::panels, r = i / 8 / S::panels;
		bool there = first + r < q_len * S::H;
		int64_t at = row0 + (there ? r : 0);
		const ob_bfloat16 *from = p < 8 ? a.q_nope + at * 512 + p * 64 : a.q_pe + at * 64;

		copy16(qs + p * S::panel + r * 128 + ((c ^ r) & 7) * 16, from + c * 8, there);
	}
	copy_commit();
	copy_wait<0>();
	proxy_fence();
	__syncthreads();
	if (group == 0) {
		asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
		int c = threadIdx.x % 8, r0 = threadIdx.x / 8;

		for (int t = 0; t < tiles; t++) {
			int s = t % S::stages;
			int64_t at[S::tile / 16];

			#pragma unroll
			for (int i = 0; i < S::tile / 16; i++) {
				int n = (tiles - 1 - t) * S::tile + r0 + i * 16;

				at[i] = n < seen ? m.token(b, n) : -1;
			}
			bar_wait(empty(s), t / S::stages & 1 ^ 1);
			#pragma unroll
			for (int i = 0; i < S::tile / 16; i++) {
				int r = r0 + i * 16;
				int64_t n = at[i] < 0 ? 0 : at[i];
				uint32_t to = ks + s * S::kv_bytes + r * 128 + ((c ^ r) & 7) * 16;

				#pragma unroll
				for (int p = 0; p < 8; p++)
					copy16(to + p * S::panel, a.ckv + n * 512 + p * 64 + c * 8, at[i] >= 0);
				copy16(to + 8 * S::panel, a.kpe + n * 64 + c * 8, at[i] >= 0);
			}
			copy_commit();
			copy_wait<0>();
			proxy_fence();
			bar_arrive(full(s));
		}
		return;
	}
	asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
	int half = group - 1, base = warp * 16 + lane / 4;	/* of this thread's two rows */
	float o[128], s[16], mx[2] = { -INFINITY, -INFINITY }, l[2] = {}, keep[2];
	auto both = [&]() { asm volatile("bar.sync 1, 256;" ::: "memory"); };
	auto logits = [&](int t) {
		uint32_t at = ks + t % S::stages * S::kv_bytes + half * 32 * 128;

		#pragma unroll
		for (int i = 0; i < S::panels * 4; i++)
			latent_qk(s, wg_matrix(qs + i / 4 * S::panel + i % 4 * 32, 16),
				  wg_matrix(at + i / 4 * S::panel + i % 4 * 32, 16), i > 0);
		wg_commit();
	};
	auto values = [&](int t) {
		uint32_t at = ks + t % S::stages * S::kv_bytes;

		#pragma unroll
		for (int i = 0; i < S::tile / 16; i++)
			latent_pv(o, wg_matrix(at + 8 * S::panel + i * 32, 16),
				  wg_matrix(at + half * 4 * S::panel + i * 2048, S::panel));
		wg_commit();
	};
	/* weights of the t-th tile from the end, by both; what there was so far is to shrink by keep */
	auto softmax = [&](int t) {
		uint32_t weights = ks + t % S::stages * S::kv_bytes + 8 * S::panel;
		int from = (tiles - 1 - t) * S::tile + half * 32;
		float top[2];

		#pragma unroll
		for (int h = 0; h < 2; h++) {
			int limit = min(seen, (first + base + h * 8) / S::H + shift + 1) - from;

			top[h] = mx[h];
			#pragma unroll
			for (int n = 0; n < 4; n++)
				#pragma unroll
				for (int e = 0; e < 2; e++) {
					float &x = s[n * 4 + h * 2 + e];

					if (n * 8 + lane % 4 * 2 + e >= limit)
						x = -INFINITY;
					top[h] = fmaxf(top[h], x);
				}
			top[h] = fmaxf(top[h], __shfl_xor_sync(~0u, top[h], 1));
			top[h] = fmaxf(top[h], __shfl_xor_sync(~0u, top[h], 2));
			if (lane % 4 == 0)
				told[half][base + h * 8] = top[h];
		}
		both();		/* and the positional keys have been read */
		#pragma unroll
		for (int h = 0; h < 2; h++) {
			float most = fmaxf(top[h], told[1 - half][base + h * 8]), by, sum = 0;
			int r = base + h * 8;

			keep[h] = most == mx[h] ? 1 : ex2((mx[h] - most) * a.scale);
			by = most == -INFINITY ? 0 : most * a.scale;
			#pragma unroll
			for (int n = 0; n < 4; n++) {
				float x = ex2(fmaf(s[n * 4 + h * 2], a.scale, -by));
				float y = ex2(fmaf(s[n * 4 + h * 2 + 1], a.scale, -by));

				sum += x + y;
				asm volatile("st.shared.b32 [%0], %1;" :: "r"(weights + r * 128 +
					     (((half * 4 + n) ^ r) & 7) * 16 + lane % 4 * 4),
					     "r"(pack2<ob_bfloat16>(x, y)) : "memory");
			}
			l[h] = l[h] * keep[h] + sum;
			mx[h] = most;
		}
		proxy_fence();
	};

	#pragma unroll
	for (int i = 0; i < 128; i++)
		o[i] = 0;
	for (int t = 0; t < tiles; t++) {
		bar_wait(full(t % S::stages), t / S::stages & 1);
		wg_fence();
		logits(t);
		wg_wait<0>();
		wg_hold<16>(s);
		softmax(t);
		if (!__all_sync(~0u, keep[0] == 1 && keep[1] == 1))
			#pragma unroll
			for (int i = 0; i < 128; i++)
				o[i] *= keep[i % 4 / 2];
		both();
		wg_fence();
		values(t);
		wg_wait<0>();
		wg_hold<128>(o);
		bar_arrive(empty(t % S::stages));
	}
	#pragma unroll
	for (int h = 0; h < 2; h++) {
		l[h] += __shfl_xor_sync(~0u, l[h], 1);
		l[h] += __shfl_xor_sync(~0u, l[h], 2);
		if (lane % 4 == 0)
			told[half][base + h * 8] = l[h];
	}
	both();
	#pragma unroll
	for (int h = 0; h < 2; h++) {
		int r = base + h * 8;
		float sum = told[0][r] + told[1][r], inv = sum > 0 ? 1 / sum : 0;

		if (first + r >= q_len * S::H)
			continue;
		#pragma unroll
		for (int n = 0; n < 32; n++)
			*(uint32_t *)(a.out + (row0 + r) * 512 + half * 256 + n * 8 + lane % 4 * 2) =
				pack2<ob_bfloat16>(o[n * 4 + h * 2] * inv, o[n * 4 + h * 2 + 1] * inv);
		if (half == 0 && lane % 4 == 0)
			a.lse[row0 + r] = sum > 0 ? mx[h] * a.scale + log2f(sum) : -INFINITY;
	}
#endif
}

/* By wgmma where there is; else token by token, mla_run(). */
static int latent_run(mla_args a, const prefill_map &m, void *workspace, cudaStream_t stream)
{
	using S = latent_shape;
	static int ready, able;
	paged_map<AX_page_size> pages = { m.qo, m.indptr, m.indices, m.last };
	auto kernel = latent_kernel<paged_map<AX_page_size>>;
	int dev = 0, major = 0;

	if (!ready && S::fits) {
		cudaFuncAttributes has;

		cudaGetDevice(&dev);
		cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, dev);
		/* compiled for sm_90 and not for sm_90a, it has no body and no barriers */
		able = major == 9 && !cudaFuncGetAttributes(&has, kernel) && has.sharedSizeBytes > 0 &&
			!cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::smem);
		cudaGetLastError();
	}
	ready = 1;
	if (!able || a.scale <= 0)
		return mla_run(a, m, workspace, stream);
	int64_t blocks = ((int64_t)a.rows * S::H + S::rows - 1) / S::rows + m.requests;

	if (a.rows)
		kernel<<<(unsigned)blocks, S::threads, S::smem, stream>>>(a, pages, m.requests);
	return cudaGetLastError();
}

extern "C" size_t onboard_workspace(const struct ob_arg *arg)
{
	return mla_workspace(DIM(q_nope, 0));
}

extern "C" int onboard_run(const struct ob_arg *arg, void *workspace, void *stream)
{
	mla_args a = MLA_ARGS;
	prefill_map m = { TENSOR(qo_indptr), TENSOR(kv_indptr), TENSOR(kv_indices), MLA_LAST,
		(int)DIM(qo_indptr, 0) - 1 };

	return latent_run(a, m, workspace, (cudaStream_t)stream);
}
