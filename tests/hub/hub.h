/*
 * hub.h - the rehearsal hub: the parts of GitHub's and the Hub's APIs that
 * mkpr speaks, on loopback, with bare git repositories behind them.
 *
 * ROOT/github/OWNER/NAME.git and NAME.json (issues and pulls), and
 * ROOT/hub/OWNER/NAME.git and NAME.json (discussions), ROOT/lfs/SHA256. One
 * request is handled at a time; a request that is refused has changed nothing.
 */
#ifndef HUB_H
#define HUB_H

#include "base64.h"
#include "json.h"

struct request {
	const char *method, *path;	/* path: decoded, without the query */
	const char *(*query)(const struct request *rq, const char *key);
	void *connection;
	const char *user;		/* of the token; NULL: none */
	const char *body;
	size_t body_len;
	char part[8][256];		/* what '*' stood for in the route */
	const char *rest;		/* what '**' stood for */
	/* the answer */
	int status;
	json_t *json;			/* or */
	struct strbuf raw;
	const char *type;		/* of raw */
	char header[4][2][160];
	size_t nheaders;
};

extern const char *hub_root, *hub_url;	/* http://127.0.0.1:PORT */
extern size_t hub_part_size;		/* LFS objects above it come in parts */

/* Whether it is METHOD and the path fits: '*' a segment, '**' the rest. */
bool hub_route(struct request *rq, const char *method, const char *pattern);
void hub_answer(struct request *rq, int status, json_t *json);
void hub_refuse(struct request *rq, int status, const char *fmt, ...)
	PRINTF(3, 4);
void hub_header(struct request *rq, const char *name, const char *fmt, ...)
	PRINTF(3, 4);
/* false, and the request is refused: it needs a user. */
bool hub_user(struct request *rq);
bool hub_may_write(const char *user);
json_t *hub_body(struct request *rq);

/* ---- store.c ---- */

/* "github" or "hub", OWNER, NAME; false: no such repository. */
bool store_has(const char *kind, const char *owner, const char *name);
char *store_git(const char *kind, const char *owner, const char *name);
/* {next, items: {N: ...}}, the caller's to json_decref(). */
json_t *store_load(const char *kind, const char *owner, const char *name);
void store_save(const char *kind, const char *owner, const char *name,
		const json_t *db);
/* git -C DIR ARGS...; what it prints into out; 0 when it ended with 0. */
int store_run(const char *dir, const char *in, size_t in_len,
	      struct strbuf *out, const char *const *args);
/* The commit that a ref or an id is; false: there is none. */
bool store_commit(const char *dir, const char *rev, char hex[65]);
/* The blob at REV:PATH; false: there is none. size may be NULL. */
bool store_blob(const char *dir, const char *rev, const char *path,
		char hex[65], struct strbuf *content);
/* Makes it from a URL or folder that git clones, or with one empty commit. */
void store_make(const char *kind, const char *spec);
char *store_lfs(const char *oid);

/* ---- github*.c ---- */

struct repo {
	const char *owner, *name;
	char *git;
};

/* The repository of part[0] and part[1]; false, and refused. */
bool github_repo(struct request *rq, struct repo *r);
bool github_may_push(const struct request *rq, const struct repo *r);
bool github_need_push(struct request *rq, const struct repo *r);
json_t *github_user_json(const char *login);
void github_fork(struct request *rq, struct repo *r);
/* Issues and pulls; false: no route of theirs. */
bool github_items(struct request *rq, struct repo *r);

/* ---- hf*.c ---- */

struct dataset {
	const char *owner, *name;
	char *git;
	char rev[256];		/* a ref or a commit */
};

/* The dataset of part[0] and part[1] at a revision; false, and refused. */
bool hf_dataset(struct request *rq, struct dataset *d, const char *rev);
bool hf_is_lfs(const char *path, size_t size);
bool hf_is_oid(const char *s);
/* A discussion's event, and one that is a comment. */
json_t *hf_comment(const char *author, const char *text, size_t n);
bool hf_lfs(struct request *rq);
bool hf_discussions(struct request *rq, struct dataset *d);

/* false: no route of theirs */
bool github_serve(struct request *rq);
bool hf_serve(struct request *rq);

#endif
