/*
 * hub.h - pull requests to a dataset of the Hugging Face Hub, by its HTTP API.
 *
 * A pull request is found again by its title and the marker in its first
 * comment. Files go the way the Hub says (POST preupload): plain ones in the
 * commit, LFS ones by the batch API first (one PUT, or parts), to URLs that are
 * signed and never see the token. Only what differs from the branch is sent.
 * The commit opens the pull request (create_pr=1), or adds to refs/pr/N.
 *
 * Functions return 0, or -1 with a sentence in err and in h->code EX_AGAIN or
 * EX_REFUSED.
 */
#ifndef ONBOARD_HUB_H
#define ONBOARD_HUB_H

#include "http.h"
#include "json.h"

struct hub {
	char *endpoint, *token, *user;
	const char *repo;	/* OWNER/NAME of the dataset */
	struct http *h;
	json_t *ours;		/* [{num, title}] of our pull requests there,
				   asked once by hub_list(); shared, read only */
	int code;
};

/* token is NULL without credentials (model.h says where it is taken). */
void hub_init(struct hub *h, const char *repo);
void hub_copy(struct hub *h, const struct hub *from);
void hub_release(struct hub *h);
/* Whose token it is, into h->user. */
int hub_user(struct hub *h, struct strbuf *err);

/* Lists our pull requests, so that finding one asks no more than its text. */
int hub_list(struct hub *h, struct strbuf *err);

struct hub_file {
	char *path;		/* in the dataset */
	char *local;
	uint64_t size;
	char oid[65];		/* as the Hub has it: git's for a plain file,
				   SHA-256 for LFS */
	bool lfs, same;		/* out: the way it goes; it is there already */
};

struct hub_pull {
	const char *title, *body, *marker;
	struct hub_file *file;
	size_t n;
	/* out */
	char *url;
	long number;
	bool is_new, changed, closed, merged;
	size_t sent;		/* files */
};

/*
 * Brings the pull request about: finds or opens it, sends what differs, and
 * makes title and first comment those wanted. One that was closed or
 * merged is left as it is.
 */
int hub_publish(struct hub *h, struct hub_pull *p, struct strbuf *err);
void hub_pull_release(struct hub_pull *p);

/* ---- for hub*.c, and for asking what the Hub has (checks) ---- */

struct hub_answer {
	json_t *json;		/* the caller's; NULL if it was none */
	long status;
	bool unsure;
};

/* Takes body. As github_ask() of github_call.h. */
int hub_ask(struct hub *h, struct hub_answer *a, const char *method,
	    const char *path, json_t *body, bool repeat, struct strbuf *err);
int hub_fail(struct hub *h, const struct hub_answer *a, const char *path,
	     struct strbuf *err);
/* Marks for each file the way it goes, and whether `rev` has it. */
int hub_compare(struct hub *h, struct hub_pull *p, const char *rev,
		struct strbuf *err);
/* Sends the LFS files that differ. */
int hub_upload(struct hub *h, struct hub_pull *p, struct strbuf *err);
/* The first comment of the pull request; the caller's to free. */
char *hub_body(struct hub *h, long number, struct strbuf *err);

#endif
