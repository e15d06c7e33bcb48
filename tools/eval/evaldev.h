/*
 * evaldev.h - the device that solutions are evaluated on, as a shared object.
 *
 * build/eval/libevalcuda.so (cuda.cu, by nvcc) and libevalcpu.so (cpu.c)
 * export the same functions; evalrun (native solutions) and evalpy
 * (PyTorch, through ctypes) load one of them. So inputs, comparison and timing
 * are the same whatever language a solution is written in.
 *
 * Functions return 0, or -1 and ev_error() tells why. After an error of the
 * device itself (a crashed kernel) every other call fails too: the process
 * is to be ended. Work goes to one stream; ev_sync() waits for it.
 */
#ifndef EVALDEV_H
#define EVALDEV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ev_dtype {
	EV_F32, EV_BF16, EV_F16, EV_E4M3, EV_E5M2, EV_E2M1X2,
	EV_I8, EV_U8, EV_I16, EV_I32, EV_I64, EV_BOOL, EV_F64
};

/* What an input is filled with; see evalfill.h for the exact values. */
enum ev_fill {
	EV_NORMAL,	/* mean 0, variance 1; low-bit floats within +-2 */
	EV_INTEGER,	/* -1024..1023, or the whole range of 8 bits; bool 0, 1 */
	EV_PROBS,	/* float32 rows that add up to 1, like softmax of NORMAL */
	EV_POSITIVE,	/* |NORMAL| */
	EV_UNIFORM,	/* 0 <= x < 1 */
	EV_FP8_PAGES	/* int8: `cols` bytes are a page of `scale` tokens, their float8
			 * e4m3 keys and then a float32 scale of each (2^-7 or 2^-6) */
};

struct ev_diff {
	double max_abs, max_rel;	/* over elements that are finite */
	int64_t failed;			/* abs > atol and rel > rtol, or below */
	int64_t nonfinite;		/* inf or nan that the reference has not */
	int64_t first;			/* index of the first that failed, or -1 */
	double got, want;		/* its values */
};

struct ev_timing {
	int warmup, iterations;		/* at least one of each is run */
	double max_ms;			/* stop after that much of device time */
	int graph;			/* 1: replay one captured CUDA graph */
	int events;			/* 1: CUDA events although there is CUPTI */
};

struct ev_times {
	double median, p10, p90, min;	/* ms, one call: first start to last end */
	double kernels;			/* ms, its kernels alone; 0: not known */
	int n;				/* of them */
	char clock[16];			/* "cupti", "events", "graph", "cpu" */
	int sm_mhz, mem_mhz, celsius;	/* right after it; 0: not known */
};

/* A solution, ready to be called on the stream; 0, or its error. */
typedef int (*ev_call)(void *arg);

const char *ev_error(void);
int ev_open(int device);
/* {"device": ..., "compute": "9.0", "driver": ...}; what is in the record */
const char *ev_describe(void);
int ev_alloc(void **p, size_t n);
void ev_free(void *p);
int ev_upload(void *dst, const void *src, size_t n);
int ev_download(void *dst, const void *src, size_t n);
int ev_set(void *dst, int byte, size_t n);
/* n bytes of an open file, from `at` on: large ones by several threads, to be at the speed of the bus. */
int ev_read(void *dst, int fd, uint64_t at, size_t n);
void *ev_stream(void);
int ev_sync(void);

/*
 * n elements, times scale (1: as they are) and then plus shift. `cols`: of EV_PROBS a row, of EV_FP8_PAGES the bytes of
 * a page, else how many neighbours have one value. The same bytes on every device.
 */
int ev_fill(void *dst, int dtype, int64_t n, int64_t cols, int how,
	    uint64_t seed, double scale, double shift);
/* Bytes of n elements. */
size_t ev_size(int dtype, int64_t n);

/*
 * An element fails when abs > atol AND rel > rtol (rel over |ref| + 1e-8), or when one of both is inf or nan and the other is
 * not the same.
 */
int ev_compare(const void *out, const void *ref, int dtype, int64_t n,
	       double atol, double rtol, struct ev_diff *d);

/*
 * Draws: samples[i] of n (int32 or int64) belongs to request i % requests.
 * counts[request * vocab + sample]++; *outside is the number of samples that
 * are no token. Both are on the device.
 */
int ev_count(const void *samples, int dtype, int64_t n, int64_t requests,
	     int64_t vocab, uint32_t *counts, int64_t *outside);

/* Each call from a cold L2 (a buffer larger than it is written in between). */
int ev_measure(ev_call call, void *arg, const struct ev_timing *how,
	       struct ev_times *t);

#ifdef __cplusplus
}
#endif

#endif
