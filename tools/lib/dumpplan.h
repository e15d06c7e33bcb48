/*
 * dumpplan.h - which plan() a recorded run() belongs to.
 *
 * A wrapper's run() takes its index tensors from the plan() before it, of the
 * same process and the same object. Folders are named to the millisecond;
 * within one, the times at which the files were written tell the order, if
 * they differ.
 *
 * A run() inside a CUDA graph is recorded once, when the graph is captured,
 * and its inputs again at every replay (FOLDER/graph_flushes/flush_NNNN,
 * flashinfer/api_logging.py). Its folder's time is that of the capture, so a
 * replay's plan is the last before it in the records of session.jsonl, or,
 * where that file is not there, by the times of the files.
 */
#ifndef ONBOARD_DUMPPLAN_H
#define ONBOARD_DUMPPLAN_H

#include "dumpahead.h"
#include "strmap.h"

struct dump_call {
	struct dump_name n;
	const char *folder;
	bool plan;
};

struct dump_plan {
	const struct dump_call *call;
	char *self;
	struct dump d;
};

struct dump_plans {
	int dirfd;			/* of the dumps */
	struct dump_ahead *ahead;
	struct dump_plan *v;		/* that may be in force */
	size_t n;
	struct {
		const struct dump_call *call;
		char *self;
		int64_t at;		/* when, or -1: not looked up */
	} *all;				/* that there were, for replays */
	size_t nall;
	struct dump_plan replayed;	/* the last that a replay asked for */
	struct strmap order;		/* folder -> its place in session.jsonl */
	bool asked_order;
};

/* Takes the dump; what is no longer in force is dropped. */
void dump_plans_add(struct dump_plans *ps, const struct dump_call *call,
		    const struct dump *d);

struct dump_choice {
	struct dump_plan *v[8];		/* that may be in force, in order */
	size_t n;
};

/* The plans that a call may belong to; self is dump_self() of it. */
void dump_plans_of(const struct dump_plans *ps, const struct dump_call *c,
		   const char *self, struct dump_choice *ch);
/*
 * The one plan of a replay in FOLDER; none in ch where there was none. -1 with
 * a reason when nothing tells, or it cannot be read.
 */
int dump_plans_replayed(struct dump_plans *ps, const struct dump_call *c,
			const char *self, const char *folder,
			struct dump_choice *ch, struct strbuf *why);
void dump_plans_release(struct dump_plans *ps);

/* The folders of its replays, in order; n of them, the caller's to free. */
char **dump_replays(int dirfd, const char *folder, size_t *n);

#endif
