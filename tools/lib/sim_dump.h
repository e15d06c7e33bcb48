/*
 * sim_dump.h - calls as FlashInfer's level-10 log writes them
 * (flashinfer/api_logging.py, 0.6.12): a folder for each, metadata.jsonl with
 * one line at entry and one at the end, inputs.safetensors and
 * outputs.safetensors. Integer tensors have their values, others are holes of
 * the right size. "versions" says simulated where the real ones have numbers.
 */
#ifndef ONBOARD_SIM_DUMP_H
#define ONBOARD_SIM_DUMP_H

#include "strbuf.h"

#define SIM_DIMS 8

enum sim_kind { SIM_TENSOR, SIM_PAIR, SIM_NUMBER, SIM_REAL, SIM_BOOL, SIM_NULL,
		SIM_TEXT, SIM_DTYPE };

struct sim_tensor {
	const char *dtype;	/* "int32", "bfloat16" */
	int ndim;
	int64_t shape[SIM_DIMS];
	const int64_t *values;	/* of an integer tensor; NULL: a hole */
};

struct sim_arg {
	const char *name;	/* NULL: by position */
	enum sim_kind kind;
	struct sim_tensor t[2];	/* a pair is a tuple of two */
	double number;
	const char *text;
};

struct sim_call {
	const char *function, *module;	/* "Class.run", "flashinfer.decode" */
	const char *signature;
	const char *self;		/* class; NULL for a function */
	long self_id;
	const struct sim_arg *arg;
	size_t n;
	const struct sim_tensor *out;	/* result, or result_0, result_1 */
	size_t nout;
	long long ms;			/* since the run began; rises */
	long sequence;			/* of this function, from 1 */
};

/* Bytes of an element; 0: no dtype that is known. */
size_t sim_dtype_size(const char *dtype);
/* Writes the call's folder below dirfd; 0, or -1 with a sentence. */
int sim_dump(int dirfd, const struct sim_call *c, struct strbuf *err);

#endif
