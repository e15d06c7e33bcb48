/*
 * sim_sched.h - a continuous batching scheduler without a GPU.
 *
 * Follows SGLang's (managers/scheduler.py, schedule_policy.py, 0.5.15): first
 * come first served; prompts before answers; a prefill batch takes waiting
 * requests while their tokens fit chunked_prefill (the last one may be cut
 * there, in whole pages), max_prefill, and the memory that running answers
 * are expected to leave; a decode step gives each running request one token;
 * when memory is short the request with the fewest answered tokens goes back
 * to the queue. Time is virtual: a step costs what sim_cost says.
 */
#ifndef ONBOARD_SIM_SCHED_H
#define ONBOARD_SIM_SCHED_H

#include "sim_cache.h"

struct sim_request {
	double arrival;		/* seconds */
	int prompt, output;	/* tokens */
	int prefix;		/* first tokens that others share, 0: none */
	int group;		/* which prefix */
	int top_k;		/* of its sampling; 0: greedy */
	/* out */
	double first, end;
};

struct sim_limits {
	int slots, page_size, chunked_prefill, max_prefill, max_running;
	double step_s, token_s;	/* a step, and each prompt token in it */
};

/* A request's part of a step. */
struct sim_row {
	int request;		/* index of what was given */
	int slot;		/* of its state: small numbers, used again */
	int had, fresh;		/* tokens before the step, tokens in it */
	bool samples;		/* a token comes out */
	int npages;
	const int *pages;	/* that hold had + fresh tokens */
};

struct sim_step {
	bool prefill;
	double at;
	const struct sim_row *row;
	int n;
};

struct sim;

struct sim *sim_new(const struct sim_limits *l, struct sim_request *v,
		    size_t n);
/* The next step, until the next call; false: all requests have ended. */
bool sim_next(struct sim *s, struct sim_step *step);
double sim_now(const struct sim *s);
/* Requests that can never be served: longer than the memory. */
size_t sim_refused(const struct sim *s);
int sim_pool_pages(const struct sim *s);
void sim_free(struct sim *s);

#endif
