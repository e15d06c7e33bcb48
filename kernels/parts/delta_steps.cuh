/*
 * delta_steps.cuh - the gated delta rule over a sequence, a token at a time, with the state in registers: rows of the
 * state do not depend on each other, so that heads, sequences and rows are parallel.
 *
 * What a token costs is the way from one state to the next. Eight lanes have a row, so a sum over it is three
 * exchanges, and the output does not wait for the new state: S q = g (old S) q + d (k q).
 * Tokens come in groups, the next one while one is worked on.
 */
#pragma once

#include "delta.cuh"

#include <cfloat>

struct delta_args {
	const ob_bfloat16 *q, *k, *v;		/* [total_seq_len][heads][head_size] */
	const float *state, *a_log, *dt_bias;
	const ob_bfloat16 *a, *b;		/* [total_seq_len][num_v_heads] */
	const int64_t *cu;
	ob_bfloat16 *out;
	float *new_state;
	float scale;
};

template <int THREADS> struct steps_shape {
	static constexpr int lanes = 8, rows = THREADS / lanes, K = delta_shape::K;
	static constexpr int group = 32 * 128 / K, vectors = K / 8;	/* tokens; of 8 numbers a token */
	static constexpr int each = group * vectors / THREADS;		/* vectors a thread brings */
};

template <int THREADS> struct steps_memory {
	using P = steps_shape<THREADS>;
	float4 q[P::group][P::K / 4], k[P::group][P::K / 4];
	float v[P::group][P::rows], gate[P::group][4];		/* g, beta, k q */
	ob_bfloat16 out[P::group][P::rows];
};

template <int THREADS> struct steps_group {
	vec<ob_bfloat16> q[steps_shape<THREADS>::each], k[steps_shape<THREADS>::each], v;
	float g, beta;
};

static __device__ __forceinline__ void put8(float4 *to, const vec<ob_bfloat16> &x)
{
	to[0] = make_float4(to_float(x.v[0]), to_float(x.v[1]), to_float(x.v[2]), to_float(x.v[3]));
	to[1] = make_float4(to_float(x.v[4]), to_float(x.v[5]), to_float(x.v[6]), to_float(x.v[7]));
}

/* THREADS / 8 rows of a head's state, from `first` on, over all tokens of a sequence, by the first THREADS of a block. */
template <int THREADS>
static __device__ void delta_steps(const struct delta_args &x, struct steps_memory<THREADS> &m, int64_t seq, int head, int first)
{
	using S = delta_shape;
	using P = steps_shape<THREADS>;
	constexpr int parts = S::K / 4 / P::lanes;	/* of four numbers, a lane */
	int row = threadIdx.x / P::lanes, part = threadIdx.x % P::lanes;
	int64_t at = ((seq * S::HV + head) * S::V + first + row) * S::K, from = x.cu[seq], to = x.cu[seq + 1];
	float4 s[parts];
	struct steps_group<THREADS> next;
	auto fetch = [&](int64_t t0) {
		#pragma unroll
		for (int i = 0; i < P::each; i++) {
			int n = threadIdx.x + i * THREADS;
			int64_t t = min(t0 + n / P::vectors, to - 1);

			next.q[i] = load16(x.q + (t * S::HQ + head / (S::HV / S::HQ)) * S::K + n % P::vectors * 8);
			next.k[i] = load16(x.k + (t * S::HK + head / (S::HV / S::HK)) * S::K + n % P::vectors * 8);
		}
		if (threadIdx.x < P::group * P::rows / 8) {
			int64_t t = min(t0 + threadIdx.x / (P::rows / 8), to - 1);

			next.v = load16(x.v + (t * S::HV + head) * S::V + first + threadIdx.x % (P::rows / 8) * 8);
		}
		if (threadIdx.x < P::group) {
			int64_t t = min(t0 + threadIdx.x, to - 1);

			next.g = delta_gate(x.a_log[head], to_float(x.a[t * S::HV + head]), x.dt_bias[head]);
			next.beta = delta_beta(to_float(x.b[t * S::HV + head]));
		}
	};
	auto put = [&]() {
		#pragma unroll
		for (int i = 0; i < P::each; i++) {
			int n = threadIdx.x + i * THREADS;

			put8(&m.q[n / P::vectors][n % P::vectors * 2], next.q[i]);
			put8(&m.k[n / P::vectors][n % P::vectors * 2], next.k[i]);
		}
		if (threadIdx.x < P::group * P::rows / 8)
			put8((float4 *)&m.v[threadIdx.x / (P::rows / 8)][threadIdx.x % (P::rows / 8) * 8], next.v);
		if (threadIdx.x < P::group) {
			m.gate[threadIdx.x][0] = next.g;
			m.gate[threadIdx.x][1] = next.beta;
		}
	};

	#pragma unroll
	for (int i = 0; i < parts; i++)
		s[i] = __ldcs((const float4 *)(x.state + at) + part + i * P::lanes);
	if (from < to)
		fetch(from);
	for (int64_t t0 = from; t0 < to; t0 += P::group) {
		int n = (int)min((int64_t)P::group, to - t0);

		put();
		group_sync(1, THREADS);
		if (t0 + P::group < to)
			fetch(t0 + P::group);
		for (int t = row; t < P::group; t += P::rows) {
			float dot = 0;

			#pragma unroll
			for (int i = 0; i < parts; i++) {
				float4 k = m.k[t][part + i * P::lanes], q = m.q[t][part + i * P::lanes];

				dot += k.x * q.x + k.y * q.y + (k.z * q.z + k.w * q.w);
			}
			dot = lanes_sum<P::lanes>(dot);
			if (part == 0)
				m.gate[t][2] = dot;
		}
		group_sync(1, THREADS);
		for (int t = 0; t < n; t++) {
			float4 k[parts], old = make_float4(0, 0, 0, 0), seen = old;
			float g = m.gate[t][0], d;

			#pragma unroll
			for (int i = 0; i < parts; i++) {
				float4 q = m.q[t][part + i * P::lanes];

				k[i] = m.k[t][part + i * P::lanes];
				old.x += s[i].x * k[i].x;
				old.y += s[i].y * k[i].y;
				old.z += s[i].z * k[i].z;
				old.w += s[i].w * k[i].w;
				seen.x += s[i].x * q.x;
				seen.y += s[i].y * q.y;
				seen.z += s[i].z * q.z;
				seen.w += s[i].w * q.w;
			}
			d = m.gate[t][1] * (m.v[t][row] - g * lanes_sum<P::lanes>((old.x + old.y) + (old.z + old.w)));
			seen.x = g * lanes_sum<P::lanes>((seen.x + seen.y) + (seen.z + seen.w)) + d * m.gate[t][2];
			#pragma unroll
			for (int i = 0; i < parts; i++) {
				s[i].x = g * s[i].x + d * k[i].x;
				s[i].y = g * s[i].y + d * k[i].y;
				s[i].z = g * s[i].z + d * k[i].z;
				s[i].w = g * s[i].w + d * k[i].w;
			}
			if (!(fabsf(m.gate[t][2]) <= FLT_MAX)) {	/* inf - inf, where S q is inf */
				float sum = 0;

				#pragma unroll
				for (int i = 0; i < parts; i++) {
					float4 q = m.q[t][part + i * P::lanes];

					sum += s[i].x * q.x + s[i].y * q.y + (s[i].z * q.z + s[i].w * q.w);
				}
				seen.x = lanes_sum<P::lanes>(sum);
			}
			if (part == 0)
				m.out[t][row] = from_float<ob_bfloat16>(seen.x * x.scale);
		}
		group_sync(1, THREADS);
		for (int i = threadIdx.x; i < n * (P::rows / 8); i += THREADS) {
			int t = i / (P::rows / 8), c = i % (P::rows / 8) * 8;

			store16(x.out + ((t0 + t) * S::HV + head) * S::V + first + c, load16(&m.out[t][c]));
		}
	}
	/* a sequence without a token has no new state: the reference leaves zeros */
	#pragma unroll
	for (int i = 0; i < parts; i++)
		__stcs((float4 *)(x.new_state + at) + part + i * P::lanes, from < to ? s[i] : make_float4(0, 0, 0, 0));
}
