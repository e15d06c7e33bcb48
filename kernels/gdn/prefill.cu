/*
 * The recurrence as it stands, a token at a time, with the state in registers: rows of
 * the state do not depend on each other, so that heads, sequences and rows are parallel.
 *
 * What a token costs is the way from one state to the next. Eight lanes have a row, so a sum over it is three
 * exchanges, and the output does not wait for the new state: S q = g (old S) q + d (k q).
 * Tokens come in chunks, the next one while one is worked on.
 */
#include "delta.cuh"

struct prefill_shape {
	static constexpr int threads = 128, lanes = 8, rows = threads / lanes, K = delta_shape::K;
	static constexpr int chunk = 32 * 128 / K, vectors = K / 8;	/* tokens; of 8 numbers a token */
	static constexpr int each = chunk * vectors / threads;		/* vectors a thread brings */
};

struct prefill_chunk {
	vec<ob_bfloat16> q[prefill_shape::each], k[prefill_shape::each], v;
	float g, beta;
};

/* Of a row's lanes. */
static __device__ __forceinline__ float row_sum(float x)
{
	#pragma unroll
	for (int o = 1; o < prefill_shape::lanes; o *= 2)
		x += __shfl_xor_sync(~0u, x, o);
	return x;
}

static __device__ __forceinline__ void put8(float4 *to, const vec<ob_bfloat16> &x)
{
	to[0] = make_float4(to_float(x.v[0]), to_float(x.v[1]), to_float(x.v[2]), to_float(x.v[3]));
	to[1] = make_float4(to_float(x.v[4]), to_float(x.v[5]), to_float(x.v[6]), to_float(x.v[7]));
}

static __global__ void __launch_bounds__(prefill_shape::threads)
gdn_prefill(const ob_bfloat16 *q, const ob_bfloat16 *k, const ob_bfloat16 *v,
	    const float *state, const float *a_log, const ob_bfloat16 *a, const float *dt_bias,
	    const ob_bfloat16 *b, const int64_t *cu, ob_bfloat16 *out, float *new_state,
	    float scale)
{
	using S = delta_shape;
	using P = prefill_shape;
	constexpr int parts = S::K / 4 / P::lanes;	/* of four numbers, a lane */
	__shared__ float4 qs[P::chunk][S::K / 4], ks[P::chunk][S::K / 4];
	__shared__ float vs[P::chunk][P::rows], gate[P::chunk][3];	/* g, beta, k q */
	__shared__ __align__(16) ob_bfloat16 os[P::chunk][P::rows];
	int head = blockIdx.y, row = threadIdx.x / P::lanes, part = threadIdx.x % P::lanes, first = blockIdx.x * P::rows;
	int64_t seq = blockIdx.z, at = ((seq * S::HV + head) * S::V + first + row) * S::K;
	int64_t from = cu[seq], to = cu[seq + 1];
	float4 s[parts];
	struct prefill_chunk next;
	auto fetch = [&](int64_t t0) {
		#pragma unroll
		for (int i = 0; i < P::each; i++) {
			int n = threadIdx.x + i * P::threads;
			int64_t t = min(t0 + n / P::vectors, to - 1);

			next.q[i] = load16(q + (t * S::HQ + head / (S::HV / S::HQ)) * S::K + n % P::vectors * 8);
			next.k[i] = load16(k + (t * S::HK + head / (S::HV / S::HK)) * S::K + n % P::vectors * 8);
		}
		if (threadIdx.x < P::chunk * P::rows / 8) {
			int64_t t = min(t0 + threadIdx.x / (P::rows / 8), to - 1);

			next.v = load16(v + (t * S::HV + head) * S::V + first + threadIdx.x % (P::rows / 8) * 8);
		}
		if (threadIdx.x < P::chunk) {
			int64_t t = min(t0 + threadIdx.x, to - 1);

			next.g = delta_gate(a_log[head], to_float(a[t * S::HV + head]), dt_bias[head]);
			next.beta = delta_beta(to_float(b[t * S::HV + head]));
		}
	};
	auto put = [&]() {
		#pragma unroll
		for (int i = 0; i < P::each; i++) {
			int n = threadIdx.x + i * P::threads;

			put8(&qs[n / P::vectors][n % P::vectors * 2], next.q[i]);
			put8(&ks[n / P::vectors][n % P::vectors * 2], next.k[i]);
		}
		if (threadIdx.x < P::chunk * P::rows / 8)
			put8((float4 *)&vs[threadIdx.x / (P::rows / 8)][threadIdx.x % (P::rows / 8) * 8], next.v);
		if (threadIdx.x < P::chunk) {
			gate[threadIdx.x][0] = next.g;
			gate[threadIdx.x][1] = next.beta;
		}
	};

	#pragma unroll
	for (int i = 0; i < parts; i++)
		s[i] = __ldcs((const float4 *)(state + at) + part + i * P::lanes);
	if (from < to)
		fetch(from);
	for (int64_t t0 = from; t0 < to; t0 += P::chunk) {
		int n = (int)min((int64_t)P::chunk, to - t0);

		put();
		__syncthreads();
		if (t0 + P::chunk < to)
			fetch(t0 + P::chunk);
		for (int t = row; t < P::chunk; t += P::rows) {
			float dot = 0;

			#pragma unroll
			for (int i = 0; i < parts; i++) {
				float4 x = ks[t][part + i * P::lanes], y = qs[t][part + i * P::lanes];

				dot += x.x * y.x + x.y * y.y + (x.z * y.z + x.w * y.w);
			}
			dot = row_sum(dot);
			if (part == 0)
				gate[t][2] = dot;
		}
		__syncthreads();
		for (int t = 0; t < n; t++) {
			float4 x[parts], old = make_float4(0, 0, 0, 0), seen = old;
			float g = gate[t][0], d;

			#pragma unroll
			for (int i = 0; i < parts; i++) {
				float4 y = qs[t][part + i * P::lanes];

				x[i] = ks[t][part + i * P::lanes];
				old.x += s[i].x * x[i].x;
				old.y += s[i].y * x[i].y;
				old.z += s[i].z * x[i].z;
				old.w += s[i].w * x[i].w;
				seen.x += s[i].x * y.x;
				seen.y += s[i].y * y.y;
				seen.z += s[i].z * y.z;
				seen.w += s[i].w * y.w;
			}
			d = gate[t][1] * (vs[t][row] - g * row_sum((old.x + old.y) + (old.z + old.w)));
			seen.x = g * row_sum((seen.x + seen.y) + (seen.z + seen.w)) + d * gate[t][2];
			#pragma unroll
			for (int i = 0; i < parts; i++) {
				s[i].x = g * s[i].x + d * x[i].x;
				s[i].y = g * s[i].y + d * x[i].y;
				s[i].z = g * s[i].z + d * x[i].z;
				s[i].w = g * s[i].w + d * x[i].w;
			}
			if (part == 0)
				os[t][row] = from_float<ob_bfloat16>(seen.x * scale);
		}
		__syncthreads();
		for (int i = threadIdx.x; i < n * (P::rows / 8); i += P::threads) {
			int t = i / (P::rows / 8), c = i % (P::rows / 8) * 8;

			store16(out + ((t0 + t) * S::HV + head) * S::V + first + c, load16(&os[t][c]));
		}
	}
	/* a sequence without a token has no new state: the reference leaves zeros */
	#pragma unroll
	for (int i = 0; i < parts; i++)
		__stcs((float4 *)(new_state + at) + part + i * P::lanes, from < to ? s[i] : make_float4(0, 0, 0, 0));
}

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	if (DIM(state, 0))
		gdn_prefill<<<dim3(delta_shape::V / prefill_shape::rows, delta_shape::HV, (unsigned)DIM(state, 0)),
			prefill_shape::threads, 0, (cudaStream_t)stream>>>(
			TENSOR(q), TENSOR(k), TENSOR(v), TENSOR(state), TENSOR(A_log), TENSOR(a),
			TENSOR(dt_bias), TENSOR(b), TENSOR(cu_seqlens), TENSOR(output),
			TENSOR(new_state), delta_scale(arg[ARG_scale].scalar));
	return cudaGetLastError();
}
