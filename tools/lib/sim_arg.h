/*
 * sim_arg.h - the arguments of an op's calls, from its folder; for sim_op.c.
 */
#ifndef ONBOARD_SIM_ARG_H
#define ONBOARD_SIM_ARG_H

#include "sim_value.h"

#define SIM_ARGS 40

/* FROM_ROWS: one number a request that the definition has no input for */
enum sim_source { FROM_INPUT, FROM_PAIR, FROM_JOINED, FROM_LENGTHS,
		  FROM_ROWS, FROM_LITERAL };

struct sim_source_arg {
	char *name;
	bool keyword;
	enum sim_source from;
	const char *input[2];		/* of the definition */
	struct sim_arg literal;
	char *text;			/* owned, of a literal */
};

struct sim_part {
	struct sim_source_arg arg[SIM_ARGS];
	size_t n;
	char *function, *signature;
	long sequence;
};

const json_t *sim_input(const struct wl_target *t, const char *name);
/*
 * Fills the arguments of both calls by the template's "call", or all by
 * keyword without it. -1 with a sentence.
 */
int sim_args(const struct wl_target *t, struct sim_part *plan,
	     struct sim_part *run, bool self, struct strbuf *err);
void sim_part_release(struct sim_part *p);

#endif
