/*
 * session.h - one session of sessions.json, and the dumpwl that makes
 * workload files of its dumps.
 */
#ifndef ONBOARD_SESSION_H
#define ONBOARD_SESSION_H

#include "json.h"

/*
 * The session of that name, borrowed from *plan, which is the caller's to
 * json_decref(). Definitions that DATASET/definitions lacks are taken out of
 * it and added to absent. NULL with a sentence: no such session, or nothing
 * left of it.
 */
json_t *session_load(const char *path, const char *name, const char *dataset,
		     json_t **plan, json_t *absent, struct strbuf *err);

struct session_dumpwl {
	const char *kernels, *dataset, *to;	/* to: NULL for the dataset */
	const char *dumps;
	const json_t *definitions;
	bool write;
};

/*
 * Runs the dumpwl beside this program: its report, the caller's to
 * json_decref(), or NULL with a sentence and the exit code that fits.
 */
json_t *session_dumpwl(const struct session_dumpwl *d, int *code,
		       struct strbuf *err);

#endif
