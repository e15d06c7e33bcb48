/*
 * cpu.c - evaldev.h without a GPU: for tests, and for looking at a solution
 * where there is none. Times are of the processor's clock.
 */
#include "evalfill.h"
#include "../lib/fileio.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char error[256];

static int fail(const char *what)
{
	snprintf(error, sizeof error, "%s", what);
	return -1;
}

const char *ev_error(void)
{
	return error;
}

int ev_open(int device)
{
	return device == 0 ? 0 : fail("there is one processor, device 0");
}

const char *ev_describe(void)
{
	return "{\"device\": \"CPU\"}";
}

int ev_alloc(void **p, size_t n)
{
	*p = aligned_alloc(256, (n + 256) / 256 * 256);
	return *p ? 0 : fail("out of memory");
}

void ev_free(void *p)
{
	free(p);
}

int ev_upload(void *dst, const void *src, size_t n)
{
	if (n)
		memcpy(dst, src, n);
	return 0;
}

int ev_download(void *dst, const void *src, size_t n)
{
	return ev_upload(dst, src, n);
}

int ev_set(void *dst, int byte, size_t n)
{
	if (n)
		memset(dst, byte, n);
	return 0;
}

int ev_read(void *dst, int fd, uint64_t at, size_t n)
{
	return file_get(fd, dst, n, at) ? fail("reading a file") : 0;
}

void *ev_stream(void)
{
	return NULL;
}

int ev_sync(void)
{
	return 0;
}

size_t ev_size(int dtype, int64_t n)
{
	return (size_t)n * ev_bytes(dtype);
}

int ev_fill(void *dst, int dtype, int64_t n, int64_t cols, int how,
	    uint64_t seed, double scale, double shift)
{
	int64_t i, row;

	if (how == EV_FP8_PAGES) {
		for (i = 0; i < n; i++)
			((uint8_t *)dst)[i] = ev_page_byte(seed, i, cols, (int64_t)scale);
		return 0;
	}
	if (how != EV_PROBS) {
		for (i = 0; i < n; i++)
			ev_fill_one(dst, dtype, i, cols, how, seed, (float)scale,
				    (float)shift);
		return 0;
	}
	if (dtype != EV_F32 || cols <= 0)
		return fail("probabilities are rows of float32");
	for (row = 0; row < n / cols; row++) {
		uint64_t sum = 0;

		for (i = row * cols; i < (row + 1) * cols; i++)
			sum += ev_weight(seed, (uint64_t)i);
		for (i = row * cols; i < (row + 1) * cols; i++)
			((float *)dst)[i] = (float)ev_weight(seed, (uint64_t)i) /
				(float)sum;
	}
	return 0;
}

int ev_compare(const void *out, const void *ref, int dtype, int64_t n,
	       double atol, double rtol, struct ev_diff *d)
{
	double abs, rel;
	int64_t i;
	int odd;

	memset(d, 0, sizeof *d);
	d->first = -1;
	for (i = 0; i < n; i++) {
		double x = ev_get(out, dtype, i), y = ev_get(ref, dtype, i);

		if (ev_pair(x, y, atol, rtol, &abs, &rel, &odd)) {
			if (!d->failed++) {
				d->first = i;
				d->got = x;
				d->want = y;
			}
			d->nonfinite += odd;
		}
		d->max_abs = fmax(d->max_abs, abs);
		d->max_rel = fmax(d->max_rel, rel);
	}
	return 0;
}

int ev_count(const void *samples, int dtype, int64_t n, int64_t requests,
	     int64_t vocab, uint32_t *counts, int64_t *outside)
{
	int64_t i, s;

	for (i = 0; i < n; i++) {
		s = dtype == EV_I64 ? ((const int64_t *)samples)[i] :
			((const int32_t *)samples)[i];
		if (s < 0 || s >= vocab)
			++*outside;
		else
			counts[i % requests * vocab + s]++;
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int ev_measure(ev_call call, void *arg, const struct ev_timing *how,
	       struct ev_times *t)
{
	int n = how->iterations > 1 ? how->iterations : 1, i;
	double *ms = malloc(sizeof *ms * (size_t)n), start, spent = 0;

	if (!ms)
		return fail("out of memory");
	for (i = 0; i < how->warmup; i++)
		if (call(arg))
			goto failed;
	for (i = 0; i < n && (i < 1 || spent < how->max_ms); i++) {
		start = now_ms();
		if (call(arg))
			goto failed;
		spent += ms[i] = now_ms() - start;
	}
	qsort(ms, (size_t)i, sizeof *ms, by_value);
	*t = (struct ev_times){ ms[i / 2], ms[i / 10], ms[i * 9 / 10], ms[0],
		0, i, "cpu", 0, 0, 0 };
	free(ms);
	return 0;
failed:
	free(ms);
	return fail("the solution failed while it was timed");
}
