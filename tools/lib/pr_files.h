/*
 * pr_files.h - what a pull request shows of this run: files of the dataset's
 * folder, the reference test's output, the log of the collection.
 */
#ifndef ONBOARD_PR_FILES_H
#define ONBOARD_PR_FILES_H

#include "pr.h"

/*
 * ROOT/flashinfer-trace/REL as OUTBOX/NAME/dataset/REL: a hard link where
 * that can be, else a copy.
 */
int pr_take(struct pr *p, const char *name, const char *rel,
	    struct strbuf *err);
/* Lines of its workload file; 0 without one. */
size_t pr_entries(const struct pr *p, const char *op, const char *name);
/* Blobs that they name, below the dataset: a new array, each once. */
json_t *pr_blobs(const struct pr *p, const char *op, const char *name);
/* The workload file's lines: a new array. */
json_t *pr_workloads(const struct pr *p, const char *tree, const char *op,
		     const char *name);
/*
 * Texts for a body: what is long is cut in its middle, and what looks like a
 * token is left out. Nothing is added when there is none.
 */
void pr_pytest(const struct pr *p, const char *name, struct strbuf *out);
/* Appends the session's logs; returns the engine that it was, or NULL. */
void pr_collection_log(const struct pr *p, const char *name,
		       struct strbuf *out);
/* The session.json that has workloads of NAME: a new reference, or NULL. */
json_t *pr_session(const struct pr *p, const char *name, char **folder);
/* Replaces what looks like a token of the Hub or of GitHub. */
void pr_redact(struct strbuf *text);

#endif
