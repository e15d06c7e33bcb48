/*
 * pr.h - issues and pull requests of a model's run: laid into the outbox,
 * checked, sent.
 *
 * OUTBOX/NAME/KIND/ holds what one of them is made of: TITLE, BODY.md, LABELS
 * (issues), BRANCH and COMMIT (GitHub pulls), and the files. Kinds, and the
 * files that tell their URLs (URLS/NAME.KIND):
 *	issue		kernel request, for what FlashInfer lacks
 *	trace-template	request for a trace template, one for each API
 *	sglang		draft patch that wires a kernel in, one for each op_type
 *	dataset		the Hub: definition, test, baseline, workloads, traces
 *	coverage	flashinfer-bench: docs/model_coverage.mdx alone
 *
 * Laying is a pure function of the run's files and of URLs known before.
 * Functions return 0, or -1 with a sentence in err.
 */
#ifndef ONBOARD_PR_H
#define ONBOARD_PR_H

#include "json.h"

#define PR_LINK "(link once PR 2 is open)"

struct pr {
	/* folders and files */
	const char *run, *repos_path, *index, *kernels_dir, *outbox, *urls;
	const char *root;		/* tmp: clones, flashinfer-trace */
	/* loaded by pr_open() */
	json_t *repos, *kernels, *config, *sessions, *definitions;
	const char *slug, *hub_id, *display;
	/* what came of it */
	struct strbuf list;		/* paths that were written */
	json_t *items;			/* [{kind, key, names, folder, repo,
					   marker, checks, ready}] */
};

int pr_open(struct pr *p, struct strbuf *err);
void pr_close(struct pr *p);
/* NULL if the run has no such file; a file that is there has to be whole. */
json_t *pr_artefact(const struct pr *p, const char *name, struct strbuf *err);
int pr_put(struct pr *p, const char *name, const char *file,
	   const struct strbuf *text, struct strbuf *err);
/* The URL in URLS/NAME.KIND, the caller's to free; NULL: not sent. */
char *pr_url(const struct pr *p, const char *name, const char *kind);
const char *pr_id(const struct pr *p, const char *repo);
/* Appends the comment that finds it again. */
void pr_marker(struct strbuf *sb, const struct pr *p, const char *kind,
	       const char *key);
/* Replaces PR_LINK by the dataset pull request's URL, if there is one. */
void pr_link(struct strbuf *text, const char *url);
/* OWNER/NAME that a repository of repos.json is published under. */
const char *pr_home(const char *repo);
/*
 * Adds NAME to the item of this kind and key, which is made with it if it is
 * the first; returns it, borrowed.
 */
json_t *pr_item(struct pr *p, const char *kind, const char *key,
		const char *name, const char *repo);
bool pr_is(const json_t *k, const char *key, const char *word);

/* ---- laying; k is an entry of kernels.json ---- */

int pr_lay_issue(struct pr *p, const json_t *k, struct strbuf *err);
int pr_lay_trace_template(struct pr *p, const json_t *k, struct strbuf *err);
/* All that are sgl_missing, by op_type. */
int pr_lay_sglang(struct pr *p, struct strbuf *err);
int pr_lay_dataset(struct pr *p, const json_t *k, struct strbuf *err);
/* possible: needed.json of all servings; page: the page's text, or NULL. */
int pr_lay_coverage(struct pr *p, const json_t *k, const json_t *possible,
		    const struct strbuf *page, struct strbuf *err);

/* ---- the checklist ---- */

/*
 * Adds {item, ok: true|false|null, reason, mend}; null: it does not apply.
 * item is the checklist's own name for it.
 */
void pr_check(json_t *checks, const char *item, int ok, const char *mend,
	      const char *fmt, ...) PRINTF(5, 6);
#define PR_NONE (-1)
bool pr_all_ok(const json_t *checks);
void pr_check_dataset(struct pr *p, const json_t *k, json_t *checks);
void pr_check_coverage(struct pr *p, const json_t *k, const char *before,
		       const char *after, json_t *checks);
/* Runs pre-commit on these files in a folder of their own, if both it and the
   project's .pre-commit-config.yaml are there. */
void pr_check_pre_commit(const struct pr *p, const char *clone,
			 const char *path, const struct strbuf *text,
			 json_t *checks);

/* ---- sending ---- */

struct pr_send {
	int jobs;			/* definitions at a time */
	bool wanted;			/* false: SUBMIT_PRS=0 */
	/* a thread's: a text for people, whole */
	void (*say)(const char *text);
	void (*step)(size_t done, size_t of);
	/* out */
	size_t sent, unchanged, held, failed;
	int code;			/* the worst exit code */
	char why[400];			/* the first failure */
};

/*
 * Sends the items: each definition's dataset pull request before its coverage
 * pull request before its issue, which then gets the link. Writes
 * URLS/NAME.KIND, and status, url, reason, merged into the items. What cannot
 * be sent for lack of credentials is told with the command that files it.
 */
void pr_send(struct pr *p, struct pr_send *s);
/* A file of an item's folder into text; false with a sentence. */
bool pr_text(struct strbuf *text, const json_t *it, const char *file,
	     struct strbuf *err);
/* What to run to file it by hand, its diff, title and body. */
void pr_by_hand(const json_t *it, struct strbuf *out);
/* What the servers say of what was sent, as further checks of the items. */
void pr_check_sent(struct pr *p);

#endif
