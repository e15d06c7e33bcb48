/*
 * sim_load.h - the requests that the simulated engine is given.
 */
#ifndef ONBOARD_SIM_LOAD_H
#define ONBOARD_SIM_LOAD_H

#include "sim_sched.h"
#include "json.h"

struct sim_requests {
	struct sim_request *v;
	size_t n;
	double wall_s;		/* that the recorded run took; 0: not told */
};

/*
 * A recorded schedule, {requests: [{arrival_s, prompt_len, output_len,
 * shared_prefix, sampling: {top_k}}]}, or lines "INPUT OUTPUT" in tokens,
 * which arrive `batch` at a time. -1 with a sentence.
 */
int sim_load_file(struct sim_requests *r, const char *path, int batch,
		  struct strbuf *err);
/*
 * The loads of facts.md, one after the other: for each number of requests at a
 * time and each longest prompt, as collect sends them: lengths spread up to
 * the longest, half of them with one of a few shared prefixes. The same on
 * every run.
 */
void sim_load_make(struct sim_requests *r, const int *batches, int nbatches,
		   const int *inputs, int ninputs, int output);
void sim_load_release(struct sim_requests *r);

/* ---- what a run was like ---- */

/* Decode steps of a folder of dumps: requests, tokens and pages of each. */
struct sim_shape {
	double *batch, *kv, *pages;
	size_t nbatch, nkv;	/* kv and pages: one for each request of each */
};

int sim_shape_read(struct sim_shape *s, const char *dumps,
		   struct strbuf *err);
void sim_shape_release(struct sim_shape *s);
/* The largest distance of two distributions (Kolmogorov and Smirnov's). */
double sim_distance(double *a, size_t na, double *b, size_t nb);

#endif
