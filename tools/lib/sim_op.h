/*
 * sim_op.h - the calls that an engine makes for a definition in a step.
 *
 * Everything comes from the op's folder: the definition's inputs, the
 * template's "dump" (which argument of which call holds an input), and, each
 * optional,
 *	call	{"plan": [ARG...], "run": [ARG...]}: the arguments as the
 *		engine gives them, in order; "NAME" by position, "NAME=" by
 *		keyword, "NAME=LITERAL" (null, true, 3, torch.bfloat16, 'joint')
 *		by keyword with that value, "!NAME=LITERAL" by position. Without it
 *		all are keywords, in the definition's order.
 *	sim	{"on": "decode" | "prefill" | "sample" | "cached", "axes":
 *		{AXIS: "tokens" | "requests" | number}}: on which steps, and
 *		what an axis counts there where its name does not tell.
 *		cached: prefills of requests that have a cached prefix. "result":
 *		the dtype that comes out, where it is not the definition's;
 *		"in_place": true, nothing does. "unsqueeze": [ARG...] have a
 *		dimension of one behind the first, "batch": before it.
 *
 * Axes and integer inputs have the same names in all of the catalogue, and so
 * the same meaning: batch_size counts requests, num_tokens tokens, kv_indptr
 * sums up pages, state_batch_indices are the requests' state slots, ...
 */
#ifndef ONBOARD_SIM_OP_H
#define ONBOARD_SIM_OP_H

#include "sim_dump.h"
#include "sim_sched.h"
#include "wltarget.h"

struct sim_op;

/* What steps are seen through. */
struct sim_view {
	const struct sim_request *request;
	int pool_pages, page_size, max_running;
	const json_t *config;	/* the model's, text_config already */
	int tp;
};

/* NULL with a sentence: this definition cannot be simulated. */
struct sim_op *sim_op_new(const struct wl_target *t, const struct sim_view *v,
			  struct strbuf *err);
void sim_op_free(struct sim_op *op);
const char *sim_op_name(const struct sim_op *op);
/*
 * Writes the calls for the step, if there are any; *ms rises by one with each.
 * How many were written, or -1 with a sentence.
 */
int sim_op_step(struct sim_op *op, const struct sim_step *step, int dirfd,
		long long *ms, struct strbuf *err);

#endif
