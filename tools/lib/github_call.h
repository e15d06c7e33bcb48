/*
 * github_call.h - one request to GitHub's API; for github*.c alone.
 */
#ifndef ONBOARD_GITHUB_CALL_H
#define ONBOARD_GITHUB_CALL_H

#include "github.h"

struct github_answer {
	json_t *json;		/* the caller's; NULL if it was none */
	long status;
	bool unsure, more;
};

/*
 * Takes body. The answer of path, which may tell of an error; -1 when there
 * is none that can be read, with a->unsure. repeat: it may be sent twice.
 */
int github_ask(struct github *g, struct github_answer *a, const char *method,
	       const char *path, json_t *body, bool repeat,
	       struct strbuf *err);
/* Makes a sentence of an answer that tells of an error; always -1. */
int github_fail(struct github *g, const struct github_answer *a,
		const char *path, struct strbuf *err);
/* A GET that has to succeed: the document, or NULL with a sentence. */
json_t *github_get(struct github *g, bool *more, struct strbuf *err,
		   const char *fmt, ...) PRINTF(4, 5);
/* Asked once; NULL with a sentence. */
const char *github_default_branch(struct github *g, const char *repo,
				  struct strbuf *err);

#endif
