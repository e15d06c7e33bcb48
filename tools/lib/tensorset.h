/*
 * tensorset.h - the tensors of a job (evaljob.h) on a device (evaldev.h).
 */
#ifndef ONBOARD_TENSORSET_H
#define ONBOARD_TENSORSET_H

#include "../../kernels/parts/solution.h"
#include "../eval/evaldev.h"
#include "safetensors.h"

/* The functions of a device's shared object. */
struct evaldev {
	const char *(*error)(void);
	int (*open)(int device);
	const char *(*describe)(void);
	int (*alloc)(void **p, size_t n);
	void (*free)(void *p);
	int (*upload)(void *dst, const void *src, size_t n);
	int (*download)(void *dst, const void *src, size_t n);
	int (*set)(void *dst, int byte, size_t n);
	int (*read)(void *dst, int fd, uint64_t at, size_t n);
	void *(*stream)(void);
	int (*sync)(void);
	size_t (*size)(int dtype, int64_t n);
	int (*fill)(void *dst, int dtype, int64_t n, int64_t cols, int how,
		    uint64_t seed, double scale, double shift);
	int (*compare)(const void *out, const void *ref, int dtype, int64_t n,
		       double atol, double rtol, struct ev_diff *d);
	int (*count)(const void *samples, int dtype, int64_t n, int64_t requests,
		     int64_t vocab, uint32_t *counts, int64_t *outside);
	int (*measure)(ev_call call, void *arg, const struct ev_timing *how,
		       struct ev_times *t);
};

/* DIR/libevalWHICH.so; NULL: build/eval beside the program. -1 with a sentence. */
int evaldev_load(struct evaldev *dev, const char *dir, const char *which,
		 struct strbuf *err);

/* "bfloat16" -> EV_BF16; -1. */
int tensor_dtype(const char *name);
/*
 * Shape, dtype and number of elements of an input or output; a scalar has its
 * value in arg and dtype -1.
 */
int tensor_shape(const json_t *spec, struct ob_arg *arg, int *dtype, int64_t *n, struct strbuf *err);
/* Makes an input's values there: from its seed of that trial, or its file. */
int tensor_fill(const struct evaldev *dev, const json_t *in, void *dst,
		int dtype, int64_t n, int trial, struct strbuf *err);
/* What a solution does not write is seen: nan, or -1. */
int tensor_poison(const struct evaldev *dev, void **dst, const int *dtype,
		  const int64_t *n, size_t count);

struct tensor_verdict {
	double max_abs, max_rel;
	double matched;			/* the least share of an output */
	bool any;
	char first[256];		/* the first element that failed */
};

/*
 * An output against the reference's, in st by its name: element by element,
 * or (kind "set") each row as a set of integers.
 */
int tensor_compare(const struct evaldev *dev, const json_t *job,
		   const json_t *out, const struct safetensors *st,
		   const void *got, int dtype, int64_t n,
		   struct tensor_verdict *v, struct strbuf *err);
/* The worse of what the answer has and of v. */
void tensor_verdict_add(const struct tensor_verdict *v, json_t *answer);
/* Sets the answer's status: PASSED, or INCORRECT_NUMERICAL. */
bool tensor_passed(const json_t *job, json_t *answer);
void tensor_times_add(const struct ev_times *t, json_t *answer);
/* One line; takes the answer. -1: nobody reads it. */
int tensor_answer(int fd, json_t *answer);

/*
 * Sampling by distribution: some of the requests, each drawn as often as its
 * distribution needs, in batches of repeated rows.
 */
struct tensor_draws {
	const struct evaldev *dev;
	const json_t *job;
	struct ob_arg *arg;	/* pointed at the repeated rows while drawing */
	void **alloc;
	const int *dtype;
	size_t nin;
	int (*call)(void *data);
	void *data;
	/* its own */
	int64_t requests, vocab, rows, rounds;
	int64_t *which;
	float *expected;
	unsigned char *mask;
	void *repeated[64];
	struct ob_arg kept[64];
	uint32_t *counts;
	int64_t outside, forbidden;
	double tvd;
};

int tensor_draws_prepare(struct tensor_draws *d, struct strbuf *err);
int tensor_draws_run(struct tensor_draws *d, struct strbuf *err);
void tensor_draws_add(const struct tensor_draws *d, json_t *answer);
void tensor_draws_release(struct tensor_draws *d);

#endif
