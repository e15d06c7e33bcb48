/*
 * host_sm90.h - kernels/parts/ptx_sm90.cuh on the processor: products of warpgroups, done
 * when they are asked for; waiting for them is where the lanes of a warp meet. Matrices are read where their
 * descriptors say (PTX ISA, "Matrix descriptor format"), 128-byte swizzle.
 */
#pragma once

#include "host.h"

/* kernels/parts/tile_map.cuh: boxes are there as soon as they are asked for. */
namespace host {

struct tiles {
	const char *base;
	int64_t pages, rows;
	int heads, dim, box_heads, box_rows;
};

}

static inline bool tile_map(CUtensorMap *map, const void *base, int64_t pages, int64_t rows, int heads, int dim,
			    int box_heads, int box_rows)
{
	host::tiles t = { (const char *)base, pages, rows, heads, dim, box_heads, box_rows };

	memcpy(map, &t, sizeof t);
	return rows > 0 && pages > 0;
}

#ifdef HOST_SM90

namespace host {

/* An element of a matrix: its row or column, and its place along K; ROWS: those in memory are along K. */
template <typename T> static inline float element(uint64_t matrix, int at, int k, bool rows)
{
	uint32_t lead = (uint32_t)(matrix >> 16 & 0x3fff) << 4, stride = (uint32_t)(matrix >> 32 & 0x3fff) << 4;
	uint32_t from = (uint32_t)(matrix & 0x3fff) << 4;
	T v;

	from += rows ? at / 64 * lead + k / 8 * stride + k % 8 * 128 + at % 64 * 2 :
		at / 8 * stride + at % 8 * 128 + k * 2;
	memcpy(&v, smem_of(from ^ (from >> 3 & 0x70)), sizeof v);
	return (float)v;
}

/* This thread's part of d[64][N] += a b, of a the two rows that it has. */
template <typename T, int N> static inline void multiply(float *d, const float (*a)[16], uint64_t b, bool rows)
{
	for (int n = 0; n < N / 8; n++)
		for (int e = 0; e < 2; e++)
			for (int k = 0; k < 16; k++) {
				float x = element<T>(b, n * 8 + lane() % 4 * 2 + e, k, rows);

				d[n * 4 + e] += a[0][k] * x;
				d[n * 4 + 2 + e] += a[1][k] * x;
			}
}

/* a in shared memory too. */
template <typename T, int N>
static inline void multiply(float *d, uint64_t a, bool a_rows, uint64_t b, bool b_rows, int add)
{
	int row = (int)(gpu.now % 128 / 32) * 16 + lane() / 4;
	float mine[2][16];

	for (int h = 0; h < 2; h++)
		for (int k = 0; k < 16; k++)
			mine[h][k] = element<T>(a, row + h * 8, k, a_rows);
	for (int i = 0; i < N / 2 && !add; i++)
		d[i] = 0;
	multiply<T, N>(d, mine, b, b_rows);
}

/* a in the registers of the warp. */
template <typename T, int N> static inline void multiply(float *d, const uint32_t *a, uint64_t b, bool b_rows)
{
	struct piece { uint32_t a[4]; } mine = { { a[0], a[1], a[2], a[3] } };
	together<piece> all(mine);
	float rows[2][16];

	for (int h = 0; h < 2; h++)
		for (int k = 0; k < 16; k++)
			rows[h][k] = half_of<T>(all.of(lane() / 4 * 4 + k % 8 / 2).a[h + k / 8 * 2], k % 2);
	multiply<T, N>(d, rows, b, b_rows);
}

}

static inline void proxy_fence(void) { }
template <int N> static inline void registers_give(void) { }
template <int N> static inline void registers_take(void) { }
static inline void wg_fence(void) { }
static inline void wg_commit(void) { host::gpu.threads[host::gpu.now].products++; }

/* A product is one of all four warps: it is not done before each has come to it. */
template <int N> static inline void wg_wait(void)
{
	size_t first = host::gpu.now / 128 * 128;
	int done = host::gpu.threads[host::gpu.now].products - N;

	host::poll([=] {
		for (size_t i = first; i < first + 128; i++)
			if (host::gpu.threads[i].products < done)
				return false;
		return true;
	});
	__syncwarp();
}
template <int N, typename T> static inline void wg_hold(T *) { }

template <typename T> static inline void store_shared(uint32_t at, T v)
{
	memcpy(smem_of(at), &v, sizeof v);
}

template <typename T> static inline void wg_qk(float *d, uint64_t a, uint64_t b, int add, T)
{
	host::multiply<T, 128>(d, a, false, b, false, add);
}

template <typename T> static inline void wg_pv(float *d, const uint32_t *a, uint64_t b, T)
{
	host::multiply<T, 128>(d, a, b, true);
}

static inline void latent_qk(float *d, uint64_t a, uint64_t b, int add)
{
	host::multiply<__nv_bfloat16, 64>(d, a, false, b, false, add);
}

/* Number k of a row of float8. */
static inline float e4m3_of(uint64_t matrix, int at, int k)
{
	uint32_t from = ((uint32_t)(matrix & 0x3fff) << 4) + at / 8 * ((uint32_t)(matrix >> 32 & 0x3fff) << 4) + at % 8 * 128 + k;
	__nv_fp8_e4m3 v;

	memcpy(&v, smem_of(from ^ (from >> 3 & 0x70)), 1);
	return (float)v;
}

/* Of a the two rows that this thread has. */
static inline void wg_e4m3(float *d, const float (*a)[32], uint64_t b, int add)
{
	for (int n = 0; n < 16; n++)
		for (int e = 0; e < 4; e++) {
			float sum = add ? d[n * 4 + e] : 0;

			for (int k = 0; k < 32; k++)
				sum += a[e / 2][k] * e4m3_of(b, n * 8 + host::lane() % 4 * 2 + e % 2, k);
			d[n * 4 + e] = sum;
		}
}

static inline void wg_e4m3(float *d, uint64_t a, uint64_t b, int add)
{
	int row = (int)(host::gpu.now % 128 / 32) * 16 + host::lane() / 4;
	float rows[2][32];

	for (int h = 0; h < 2; h++)
		for (int k = 0; k < 32; k++)
			rows[h][k] = e4m3_of(a, row + h * 8, k);
	wg_e4m3(d, rows, b, add);
}

/* PTX ISA, "Register Fragments for wgmma.mma_async.m64nNk32". */
static inline void wg_e4m3(float *d, const uint32_t *a, uint64_t b, int add)
{
	struct piece { uint32_t a[4]; } mine = { { a[0], a[1], a[2], a[3] } };
	host::together<piece> all(mine);
	float rows[2][32];

	for (int h = 0; h < 2; h++)
		for (int k = 0; k < 32; k++) {
			piece of = all.of(host::lane() / 4 * 4 + k % 16 / 4);
			__nv_fp8_e4m3 v;

			memcpy(&v, (char *)&of.a[h + k / 16 * 2] + k % 4, 1);
			rows[h][k] = (float)v;
		}
	wg_e4m3(d, rows, b, add);
}

static inline void wg_f16(float *d, const uint32_t *a, uint64_t b, int add)
{
	for (int i = 0; i < 64 && !add; i++)
		d[i] = 0;
	host::multiply<__half, 128>(d, a, b, false);
}

static inline void row_add(float *to, uint32_t from, int bytes)
{
	for (int i = 0; i < bytes / 4; i++)
		to[i] += ((float *)smem_of(from))[i];
}

static inline void rows_commit(void) { }
static inline void rows_wait(void) { }

static inline void wg_columns(float *d, const uint32_t *a, uint64_t b, int add)
{
	for (int i = 0; i < 32 && !add; i++)
		d[i] = 0;
	host::multiply<__nv_bfloat16, 64>(d, a, b, false);
}

static inline void latent_pv(float *d, uint64_t a, uint64_t b)
{
	host::multiply<__nv_bfloat16, 256>(d, a, false, b, true, 1);
}

static inline void latent_pv(float *d, const uint32_t *a, uint64_t b)
{
	host::multiply<__nv_bfloat16, 256>(d, a, b, true);
}

template <int N, int ROWS> static inline void wg_narrow(float *d, uint64_t a, uint64_t b, int add)
{
	host::multiply<__nv_bfloat16, N>(d, a, ROWS, b, false, add);
}

static inline uint4 load_shared(uint32_t at)
{
	uint4 v;

	memcpy(&v, smem_of(at), sizeof v);
	return v;
}

static inline void stm4(uint32_t at, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	struct piece { uint32_t v[4]; } mine = { { a, b, c, d } };
	host::together<piece> all(mine);
	int l = host::lane();

	for (int i = 0; i < 4; i++)
		memcpy(smem_of(at) + i * 4, all.of(l % 8 * 4 + i).v + l / 8, 4);
	__syncwarp();
}

static inline void bar_expect(uint32_t bar, int bytes) { bar_change(bar, 1, bytes); }
static inline void bar_expect_more(uint32_t bar, int bytes) { bar_change(bar, 0, bytes); }

static inline void tile_copy(uint32_t to, const CUtensorMap &map, int column, int head, int row, int page,
			     uint32_t bar)
{
	host::tiles t;

	memcpy(&t, &map, sizeof t);
	for (int r = 0; r < t.box_rows * t.box_heads; r++)
		for (int c = 0; c < 64; c++) {
			int64_t y = row + r / t.box_heads, h = head + r % t.box_heads, x = column + c;
			char *place = smem_of((to + r * 128 + c * 2) ^ ((to + r * 128) >> 3 & 0x70));
			bool there = x < t.dim && h < t.heads && y < t.rows && page < t.pages;

			memset(place, 0, 2);
			if (there)
				memcpy(place, t.base + (((page * t.rows + y) * t.heads + h) * t.dim + x) * 2, 2);
		}
	bar_change(bar, 0, -t.box_rows * t.box_heads * 128);
}

/* Row j of a matrix that is stored has its elements from lanes j / 2, of all eight rows in the registers. */
static inline void stm2t(uint32_t at, uint32_t a, uint32_t b)
{
	struct piece { uint32_t v[2]; } mine = { { a, b } };
	host::together<piece> all(mine);
	int l = host::lane();

	for (int i = 0; i < 8 && l < 16; i++)
		memcpy(smem_of(at) + i * 2, (char *)all.of(i * 4 + l % 8 / 2).v + l / 8 * 4 + l % 2 * 2, 2);
	__syncwarp();
}

#endif
