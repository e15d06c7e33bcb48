/*
 * evalfill.h - the exact values of inputs, for the host and for the device.
 *
 * Integer arithmetic and single roundings only: element i of an input is a
 * pure function of the seed and of i, bit for bit the same on any processor.
 * The distributions are those of flashinfer-bench (bench/utils.py,
 * _rand_tensor): a normal one, low-bit floats clamped to +-2, integers of
 * -1024..1023. Ours is the sum of four uniform numbers of 16 bits: mean 0,
 * variance 1, within +-3.47.
 */
#ifndef EVALFILL_H
#define EVALFILL_H

#include "evaldev.h"

#ifdef __CUDACC__
#define EV_BOTH static __host__ __device__ inline
#else
#define EV_BOTH static inline
#endif

/* splitmix64's finaliser (Steele, Lea, Flood 2014, public domain). */
EV_BOTH uint64_t ev_bits(uint64_t seed, uint64_t i)
{
	uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Sum of four 16-bit numbers less its mean: |sum| <= 131070, sd 37837.2. */
EV_BOTH int32_t ev_sum4(uint64_t bits)
{
	return (int32_t)((bits & 0xffff) + (bits >> 16 & 0xffff) +
			 (bits >> 32 & 0xffff) + (bits >> 48)) - 131070;
}

EV_BOTH float ev_normal(uint64_t seed, uint64_t i)
{
	return (float)ev_sum4(ev_bits(seed, i)) * (1.0f / 37837.23f);
}

EV_BOTH int64_t ev_integer(uint64_t seed, uint64_t i, int dtype)
{
	uint64_t b = ev_bits(seed, i) >> 32;

	switch (dtype) {
	case EV_BOOL: return (int64_t)(b & 1);
	case EV_I8:   return (int64_t)(b & 255) - 128;
	case EV_U8: case EV_E2M1X2: return (int64_t)(b & 255);
	default:      return (int64_t)(b & 2047) - 1024;
	}
}

/*
 * About 2^20 * exp(normal), in integers: 2^x by its integer part and a line
 * between powers. Row sums of these are exact in 64 bits up to 2^37 columns.
 */
EV_BOTH uint32_t ev_weight(uint64_t seed, uint64_t i)
{
	/* x = normal * log2(e), 16 fractional bits; 2.49886 = 65536 * 1.442695 / 37837.23 */
	int64_t x = (int64_t)ev_sum4(ev_bits(seed, i)) * 163766 / 65536;
	int64_t whole = x >= 0 ? x / 65536 : -((-x + 65535) / 65536);
	uint64_t frac = (uint64_t)(x - whole * 65536);
	uint64_t w = (65536 + frac) << 4;

	return (uint32_t)(whole >= 0 ? w << whole : w >> -whole);
}

/* ---- floats of fewer bits: round to nearest even ---- */

EV_BOTH uint32_t ev_float_bits(float f)
{
	union { float f; uint32_t u; } v;

	v.f = f;
	return v.u;
}

EV_BOTH float ev_bits_float(uint32_t u)
{
	union { float f; uint32_t u; } v;

	v.u = u;
	return v.f;
}

EV_BOTH uint16_t ev_to_bf16(float f)
{
	uint32_t u = ev_float_bits(f);

	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/*
 * To `exp` bits of exponent and `man` of mantissa, finite inputs within the
 * range only (inputs are: see above).
 */
EV_BOTH uint32_t ev_to_small(float f, int exp, int man)
{
	uint32_t u = ev_float_bits(f), sign = u >> 31, mag = u & 0x7fffffff;
	int bias = (1 << (exp - 1)) - 1, e = (int)(mag >> 23) - 127;
	uint32_t m = (mag & 0x7fffff) | 0x800000, cut, half;
	int shift = 23 - man;

	if (mag == 0)
		return sign << (exp + man);
	if (e < 1 - bias)		/* subnormal there */
		shift += 1 - bias - e;
	if (shift > 24)
		return sign << (exp + man);
	cut = m & ((1u << shift) - 1);
	half = 1u << (shift - 1);
	m >>= shift;
	m += cut > half || (cut == half && (m & 1));
	/* without the leading bit, a carry goes into the exponent */
	if (e >= 1 - bias)
		m += (uint32_t)(e + bias - 1) << man;
	return sign << (exp + man) | m;
}

EV_BOTH float ev_from_small(uint32_t v, int exp, int man)
{
	int bias = (1 << (exp - 1)) - 1;
	uint32_t e = v >> man & ((1u << exp) - 1), m = v & ((1u << man) - 1);
	float f = (float)(e ? m | 1u << man : m);
	int k = (int)(e ? e : 1) - bias - man;

	if (exp == 5 && e == 31)	/* IEEE: inf and nan */
		f = m ? ev_bits_float(0x7fc00000) : ev_bits_float(0x7f800000);
	else if (exp == 4 && e == 15 && m == 7)
		f = ev_bits_float(0x7fc00000);
	else
		f *= ev_bits_float((uint32_t)(k + 127) << 23);
	return v >> (exp + man) & 1 ? -f : f;
}

/* Any element, exactly (int64 up to 2^53). */
EV_BOTH double ev_get(const void *p, int dtype, int64_t i)
{
	switch (dtype) {
	case EV_F32:  return ((const float *)p)[i];
	case EV_F64:  return ((const double *)p)[i];
	case EV_BF16: return ev_bits_float((uint32_t)((const uint16_t *)p)[i] << 16);
	case EV_F16:  return ev_from_small(((const uint16_t *)p)[i], 5, 10);
	case EV_E4M3: return ev_from_small(((const uint8_t *)p)[i], 4, 3);
	case EV_E5M2: return ev_from_small(((const uint8_t *)p)[i], 5, 2);
	case EV_I8:   return (double)((const int8_t *)p)[i];
	case EV_I16:  return (double)((const int16_t *)p)[i];
	case EV_I32:  return (double)((const int32_t *)p)[i];
	case EV_I64:  return (double)((const int64_t *)p)[i];
	default:      return (double)((const uint8_t *)p)[i];
	}
}

EV_BOTH void ev_put(void *p, int dtype, int64_t i, float f, int64_t n)
{
	switch (dtype) {
	case EV_F32:  ((float *)p)[i] = f; break;
	case EV_F64:  ((double *)p)[i] = f; break;
	case EV_BF16: ((uint16_t *)p)[i] = ev_to_bf16(f); break;
	case EV_F16:  ((uint16_t *)p)[i] = (uint16_t)ev_to_small(f, 5, 10); break;
	case EV_E4M3: ((uint8_t *)p)[i] = (uint8_t)ev_to_small(f, 4, 3); break;
	case EV_E5M2: ((uint8_t *)p)[i] = (uint8_t)ev_to_small(f, 5, 2); break;
	case EV_I8:   ((int8_t *)p)[i] = (int8_t)n; break;
	case EV_I16:  ((int16_t *)p)[i] = (int16_t)n; break;
	case EV_I32:  ((int32_t *)p)[i] = (int32_t)n; break;
	case EV_I64:  ((int64_t *)p)[i] = n; break;
	default:      ((uint8_t *)p)[i] = (uint8_t)n; break;
	}
}

/* Of an element. */
EV_BOTH size_t ev_bytes(int dtype)
{
	switch (dtype) {
	case EV_I64: case EV_F64:             return 8;
	case EV_F32: case EV_I32:             return 4;
	case EV_BF16: case EV_F16: case EV_I16: return 2;
	default:                              return 1;
	}
}

EV_BOTH int ev_is_float(int dtype)
{
	return dtype <= EV_E5M2 || dtype == EV_F64;
}

/* Byte i of pages of float8 keys (NORMAL) and their scales. */
EV_BOTH uint8_t ev_page_byte(uint64_t seed, int64_t i, int64_t page, int64_t tokens)
{
	int64_t at = i % page, scales = page - 4 * tokens;
	uint32_t scale;
	float f;

	if (at < scales) {
		f = ev_normal(seed, (uint64_t)i);
		f = f > 2 ? 2 : f < -2 ? -2 : f;
		return (uint8_t)ev_to_small(f, 4, 3);
	}
	scale = ev_bits(seed, (uint64_t)((i - (at - scales) % 4))) & 1 ? 0x3c000000 : 0x3c800000;
	return (uint8_t)(scale >> (at - scales) % 4 * 8);
}

/* Element i of all but PROBS and FP8_PAGES; `same` neighbours have one value. */
EV_BOTH void ev_fill_one(void *p, int dtype, int64_t i, int64_t same, int how, uint64_t seed,
			 float scale, float shift)
{
	uint64_t nth = (uint64_t)(same > 1 ? i / same : i);
	float f = 0;

	if (!ev_is_float(dtype)) {
		ev_put(p, dtype, i, 0, ev_integer(seed, nth, dtype));
		return;
	}
	f = how == EV_UNIFORM ? (float)(ev_bits(seed, nth) >> 40) * (1.0f / 16777216) :
		ev_normal(seed, nth);
	if (how == EV_POSITIVE && f < 0)
		f = -f;
	if (dtype == EV_E4M3 || dtype == EV_E5M2)
		f = f > 2 ? 2 : f < -2 ? -2 : f;
#ifdef __CUDA_ARCH__
	f = __fadd_rn(__fmul_rn(f, scale), shift);	/* no fused rounding */
#else
	{
		volatile float product = f * scale;	/* nor here */
		f = product + shift;
	}
#endif
	ev_put(p, dtype, i, f, 0);
}

/* abs, rel and whether the pair fails; shared by both comparisons. */
EV_BOTH int ev_pair(double x, double y, double atol, double rtol, double *abs,
		    double *rel, int *odd)
{
	double d = x - y;

	*abs = *rel = 0;
	*odd = 0;
	if (x - x != 0 || y - y != 0) {		/* inf or nan */
		int same = x == y || (x != x && y != y);

		*odd = x - x != 0 && !same;
		return !same;
	}
	*abs = d < 0 ? -d : d;
	*rel = *abs / ((y < 0 ? -y : y) + 1e-8);
	return *abs > atol && *rel > rtol;
}

#endif
