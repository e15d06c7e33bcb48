/*
 * attend.cuh - attention that sees less, or more: a window (so many tokens, the query's own among them), logits that tanh squeezes into
 * (-cap, cap), sinks (one more logit a head, without a value). A kernel's source says which: ATTEND_WINDOW and ATTEND_CAP,
 * 0 if none, before it includes this; sinks are an input.
 */
#pragma once

#include "cuda.cuh"

#ifndef ATTEND_WINDOW
#define ATTEND_WINDOW 0
#endif
#ifndef ATTEND_CAP
#define ATTEND_CAP 0
#endif
#ifdef ARG_sinks
#define ATTEND_SINKS TENSOR(sinks)
typedef TYPE_sinks attend_sink;
static constexpr bool attend_sinks = true;
#else
#define ATTEND_SINKS nullptr
typedef float attend_sink;
static constexpr bool attend_sinks = false;
#endif
/* with sinks there is no lse */
#ifdef ARG_lse
#define ATTEND_LSE TENSOR(lse)
static constexpr bool attend_lse = true;
#else
#define ATTEND_LSE nullptr
static constexpr bool attend_lse = false;
#endif

static constexpr int attend_window = ATTEND_WINDOW;
static constexpr float attend_log2e = 1.4426950408889634f, attend_cap = ATTEND_CAP * attend_log2e;	/* as logits are, base 2 */

/* Of a query that sees keys up to `end`, the first. */
static __device__ __forceinline__ int attend_from(int end)
{
	return attend_window ? max(0, end - attend_window) : 0;
}

static __device__ __forceinline__ float attend_logit(float x, float scale)
{
	return attend_cap > 0 ? attend_cap * tanhf(x * scale / attend_cap) : x * scale;
}

/* The same of one that is scaled, by functions of a cycle or eight. */
static __device__ __forceinline__ float attend_capped(float x)
{
	constexpr float cap = attend_cap > 0 ? attend_cap : 1;

	return cap - __fdividef(2 * cap, 1 + ex2(x * (2 * attend_log2e / cap)));
}

/*
 * What a row that sees keys is to be multiplied with, whose weights have this sum and this maximum. If all its logits are -inf
 * the sum is 0, and the row nan, as torch.softmax() has it.
 */
static __device__ __forceinline__ float attend_share(float sum, float top, const attend_sink *sink)
{
	if (!attend_sinks)
		return 1 / sum;
	float s = to_float(*sink) * attend_log2e, m = fmaxf(top, s), keep = softmax_weight(top, m);

	return keep / (sum * keep + softmax_weight(s, m));
}
