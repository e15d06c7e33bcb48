/*
 * github.h - what onboard asks of GitHub's REST API.
 *
 * The API is at GITHUB_API_URL, else at GH_HOST, else https://api.github.com.
 * The token is taken where gh has it: GH_TOKEN, GITHUB_TOKEN, hosts.yml of
 * its folder, or `gh auth token`. It is sent to the API's host only.
 *
 * What is created is looked for first, and again whenever it is unsure whether
 * a request was carried out, so that nothing is opened twice. Changes go one
 * at a time, a second apart (GitHub's limits for content), except on
 * loopback.
 *
 * Functions return 0, or -1 with a sentence in err and in g->code the exit
 * code that fits: EX_AGAIN (network, limits) or EX_REFUSED.
 */
#ifndef ONBOARD_GITHUB_H
#define ONBOARD_GITHUB_H

#include "http.h"
#include "json.h"

struct github {
	char *api, *token, *login;
	struct http *h;
	json_t *known;		/* repo -> {head, branch}, once asked */
	int code;
};

/* token is NULL without credentials. One thread's; github_copy() for more. */
void github_init(struct github *g);
void github_copy(struct github *g, const struct github *from);
void github_release(struct github *g);
/* Who the token is of, into g->login. */
int github_user(struct github *g, struct strbuf *err);

/* What the caller wants to exist, and what it became. */
struct github_item {
	const char *repo;		/* OWNER/NAME */
	const char *title, *body;
	const char *marker;		/* stands in the body; finds it again */
	const json_t *labels;		/* of an issue */
	const char *branch, *head;	/* of a pull: head is its OWNER */
	bool draft;
	/* out */
	char *url;
	bool is_new, changed, closed, merged, foreign;
};

void github_item_release(struct github_item *it);
/*
 * An issue of ours whose body has the marker, opened or brought up to date; one
 * that was closed is left as it is.
 */
int github_issue(struct github *g, struct github_item *it,
		 struct strbuf *err);
/* A pull from head:branch into the default branch, likewise. */
int github_pull(struct github *g, struct github_item *it, struct strbuf *err);
/* closed and merged of a pull by its URL's number. */
int github_pull_state(struct github *g, struct github_item *it, long number,
		      struct strbuf *err);

/* Files that a commit puts on a branch. */
struct github_commit {
	const char *repo;		/* upstream's */
	const char *branch, *message;
	const char *parent;		/* id that a new branch begins at, or
					   NULL: the default branch's head */
	struct {
		const char *path;
		const char *data;
		size_t len;
	} file[4];
	size_t n;
	/* out: who owns the repository that has the branch, the commit */
	char *head;
	bool changed;
};

/*
 * Commits where we may push: to repo, else to our fork, which is made if
 * need be. A branch that is there gets a further commit, or none if it has
 * these files already.
 */
int github_push(struct github *g, struct github_commit *c,
		struct strbuf *err);
void github_commit_release(struct github_commit *c);

/* Paths that a pull changes: a new array; NULL with a sentence. */
json_t *github_pull_files(struct github *g, const char *repo, long number,
			  struct strbuf *err);
/* Its body or an issue's, the caller's to free. */
char *github_body(struct github *g, const char *repo, long number,
		  struct strbuf *err);

#endif
