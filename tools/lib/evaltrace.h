/*
 * evaltrace.h - traces of evaluations: DATASET/traces/AUTHOR/OP/NAME.jsonl.
 *
 * One line for each workload and solution. A file is written whole; what is
 * evaluated until then lies in a journal, a line at a time, and is taken up
 * by the next run if this one is killed.
 */
#ifndef ONBOARD_EVALTRACE_H
#define ONBOARD_EVALTRACE_H

#include "json.h"

struct eval_traces {
	char *path, *journal;
	json_t *lines;		/* "UUID SOLUTION" -> line */
	int fd;			/* of the journal, -1 until something is added */
	size_t added;
};

/* Reads the file and what a killed run left; absent files are empty. */
int eval_traces_open(struct eval_traces *t, const char *path,
		     const char *journal, struct strbuf *err);
/* The line of that workload and solution, borrowed; NULL. */
const json_t *eval_traces_get(const struct eval_traces *t, const char *uuid,
			      const char *solution);
/* Takes the line. 0, or -1 with a sentence. */
int eval_traces_add(struct eval_traces *t, json_t *line, struct strbuf *err);
/*
 * The file anew, lines in the order of these workloads (an array of objects with
 * "uuid") and then by the solution's name; workloads that are not among them come last.
 * Drops the journal.
 */
int eval_traces_save(struct eval_traces *t, const json_t *workloads,
		     struct strbuf *err);
void eval_traces_release(struct eval_traces *t);

/*
 * A trace line, the caller's to json_decref(). answer is a worker's, hello what
 * the workers said they are, digest the solution's sha256.
 */
json_t *eval_trace(const char *definition, const json_t *workload,
		   const char *solution, const char *digest,
		   const json_t *answer, const json_t *hello,
		   double reference_ms);
/* The digest in a line that eval_trace() made; NULL. */
const char *eval_trace_digest(const json_t *line);

#endif
