/*
 * evalplan.h - what there is to evaluate of a definition: its workloads, the
 * solutions, and the traces that are there.
 */
#ifndef ONBOARD_EVALPLAN_H
#define ONBOARD_EVALPLAN_H

#include "evaltrace.h"
#include "kernels.h"
#include "sha256.h"

struct eval_plan {
	const char *dataset, *kernels;
	const char *workloads;	/* a tree with workloads/ and blob/ */
	const char *traces;	/* AUTHOR/OP/NAME.jsonl below it */
	const char *cache;	/* journals */
	const char *libs;	/* native solutions, NAME.so */
	const char *only;	/* words separated by commas, or NULL: all */
	size_t limit;		/* workloads; 0: all */
};

struct eval_solution {
	const char *author, *name;	/* borrowed from json and the work */
	char digest[SHA256_HEX];
	char *so;			/* of a native one, else NULL */
	json_t *json;
	struct eval_traces *traces;	/* the author's, shared */
};

struct eval_work {
	char *op, *name;
	json_t *def;
	const json_t *eval;		/* the template's rules, or NULL */
	json_t *workloads;
	json_t *missing;		/* sentences: solutions that are not built */
	struct eval_solution *solutions;
	size_t nsolutions;
	struct { char *name; struct eval_traces traces; } author[16];
	size_t nauthors;
};

/* Lives until the process ends. -1 with a sentence. */
int eval_work_open(struct eval_work *w, const struct eval_plan *p,
		   const char *name, struct strbuf *err);
/* Writes the traces of every author to whom something was added. */
int eval_work_save(struct eval_work *w, struct strbuf *err);
/* "OP" of DATASET/definitions/OP/NAME.json, the caller's to free; NULL. */
char *eval_find_op(const char *dataset, const char *name);

#endif
