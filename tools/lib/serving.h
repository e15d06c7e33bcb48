/*
 * serving.h - one server from its start to its end, under the loads.
 *
 * First every kind of sampling on a few short prompts, so that all that this
 * server calls is seen once; then each length of prompts with each number of
 * requests at a time (facts.md), until the caller has enough of it. The
 * dumps are slimmed meanwhile, and the server is halted while they are over
 * their budget.
 */
#ifndef ONBOARD_SERVING_H
#define ONBOARD_SERVING_H

#include "dumpslim.h"
#include "engine.h"

#include <signal.h>

#define SERVING_LOADS 16

enum served { SERVED, NO_MEMORY, FAILED, DISK_FULL, STOPPED };

struct serving {
	struct engine e;
	struct dumpslim *slim;
	uint64_t budget;		/* bytes on disk */
	int health_s, load_s;		/* seconds: until healthy; a load */
	int batches[SERVING_LOADS], inputs[SERVING_LOADS];
	int nbatches, ninputs, output;	/* output: tokens of an answer */
	int most;			/* requests at a time, at most */
	int vocab, context;		/* context 0: any length */
	int (*lengths)[2];		/* real ones instead of inputs */
	size_t nlengths;
	const volatile sig_atomic_t *stop;
	/* a line for the collection log */
	void (*note)(const char *line);
	/* whether a load has brought enough; first: it begins */
	bool (*enough)(bool first, size_t loads);
	bool started;			/* out: it was healthy */
};

/* Not SERVED: the reason, from the server's log where it tells, in why. */
enum served serving_run(struct serving *s, struct strbuf *why);

#endif
