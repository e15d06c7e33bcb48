/*
 * sim_value.h - what axes and integer inputs are in a step (sim_op.h).
 */
#ifndef ONBOARD_SIM_VALUE_H
#define ONBOARD_SIM_VALUE_H

#include "sim_op.h"

/* The rows of a step that an op is called on. */
struct sim_rows {
	const struct sim_view *v;
	const struct sim_row *row[4096];
	int n;
	bool prefill, sampling, own;	/* own: only the step's own tokens are
					   keys (ragged prefill) */
	long tokens, kv_tokens, kv_pages;
	int longest;			/* pages of a request, at most */
};

/* -1: the axis has no meaning that is known. */
int64_t sim_axis(const struct sim_rows *r, const char *axis,
		 const char *word);
/*
 * The values of an integer input, the caller's to free(); NULL when it has no
 * meaning that is known (a hole then). n elements, `limit` above every value
 * where there is one (number of experts, vocabulary).
 */
int64_t *sim_values(const struct sim_rows *r, const char *input, int64_t n,
		    int64_t inner, int64_t limit);

#endif
