/*
 * dumphold.h - a call at hand: its arguments by where they stand, and the
 * conditions that the template puts on them (dumpmap.h).
 */
#ifndef ONBOARD_DUMPHOLD_H
#define ONBOARD_DUMPHOLD_H

#include "dumpmap.h"

struct dump_mapping {
	const struct dumpmap *m;
	struct dump *call, *plan;
	struct workload *w;
	json_t *bound;			/* axis -> value */
	struct strbuf *why;
};

/* What stands at "plan.indptr" or "paged_kv_cache.0"; as dump_arg(). */
int dump_look(const struct dump_mapping *x, const char *where,
	      struct dump_value *v);
/* 0 when hold, is and queries are met; else -1 with the reason in x->why. */
int dump_hold(struct dump_mapping *x);
/* The same for what `causal` asks, once the inputs are taken. */
int dump_hold_causal(struct dump_mapping *x);

#endif
