/*
 * evalwork.h - a worker process that answers jobs, one line for one line.
 *
 * It never outlives us (PR_SET_PDEATHSIG) nor its time: a job that is not
 * answered in time, and a worker that crashed, cost this process alone. What it started ends with it, and a line
 * that a solution writes in the place of an answer is not taken for one. What it prints
 * is kept, the end of it for the trace.
 */
#ifndef ONBOARD_EVALWORK_H
#define ONBOARD_EVALWORK_H

#include "json.h"

struct eval_worker {
	char *const *argv;
	const char *log;	/* a file, written over by each start */
	pid_t pid;
	bool ready;		/* it has said what it is */
	int to, from;
	struct strbuf pending;
	json_t *hello;		/* what it is: device, versions */
};

/* Starts it unless it runs, and does not wait; 0, or -1 with a sentence. */
int eval_worker_launch(struct eval_worker *w, struct strbuf *err);
/* Starts it unless it runs, and waits for its hello; 0, or -1 with a sentence. */
int eval_worker_start(struct eval_worker *w, int seconds, struct strbuf *err);
/*
 * Its answer, the caller's to json_decref(). A worker that crashed or was too slow gives
 * {"status": "RUNTIME_ERROR"|"TIMEOUT", "log": ...}, and is no more; so is one that answers
 * RUNTIME_ERROR without "alive": true.
 */
json_t *eval_worker_ask(struct eval_worker *w, const json_t *job, int seconds);
void eval_worker_stop(struct eval_worker *w);

#endif
