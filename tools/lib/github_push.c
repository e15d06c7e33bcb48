#include "github_call.h"
#include "base64.h"

#include <time.h>

#define TRIES 3
#define FORK_WAIT 30	/* seconds until a new fork answers */

void github_commit_release(struct github_commit *c)
{
	free(c->head);
	c->head = NULL;
}

/* {branch, push} of a repository, borrowed; NULL with a sentence. */
static json_t *know(struct github *g, const char *repo, struct strbuf *err)
{
	json_t *o = json_object_get(g->known, repo), *j;
	const char *b;

	if (o)
		return o;
	j = github_get(g, NULL, err, "/repos/%s", repo);
	if (!j)
		return NULL;
	b = json_get_str(j, "default_branch");
	o = json_pack("{s:s, s:b}", "branch", b ? b : "main", "push",
		      json_is_true(json_object_get(json_object_get(j,
				"permissions"), "push")));
	json_object_set_new(g->known, repo, o);
	json_decref(j);
	return o;
}

const char *github_default_branch(struct github *g, const char *repo,
				  struct strbuf *err)
{
	return json_get_str(know(g, repo, err), "branch");
}

/* ---- where to push ---- */

static bool is_fork_of(const json_t *j, const char *repo)
{
	const char *parent = json_get_str(json_object_get(j, "parent"),
					  "full_name");

	return parent && !strcmp(parent, repo);
}

/* Our fork of repo, made if need be; true when it answers. */
static int need_fork(struct github *g, const char *repo, struct strbuf *err)
{
	const struct timespec second = { 1, 0 };
	struct strbuf mine = STRBUF_INIT, path = STRBUF_INIT;
	struct github_answer a;
	int i, ret = -1;

	strbuf_addf(&mine, "/repos/%s%s", g->login, strchr(repo, '/'));
	strbuf_addf(&path, "/repos/%s/forks", repo);
	for (i = 0; i < FORK_WAIT; i++) {
		if (github_ask(g, &a, "GET", mine.buf, NULL, true, err))
			break;
		if (a.status == 200) {
			ret = is_fork_of(a.json, repo) ? 0 : -1;
			if (ret)
				strbuf_addf(err, "%s is no fork of %s: rename"
					    " it, or make the fork by hand",
					    mine.buf + 7, repo);
			g->code = EX_REFUSED;
			json_decref(a.json);
			break;
		}
		if (a.status != 404) {
			github_fail(g, &a, mine.buf, err);
			json_decref(a.json);
			break;
		}
		json_decref(a.json);
		/* asking twice gives the same fork */
		if (!i && github_ask(g, &a, "POST", path.buf, json_object(),
				     true, err))
			break;
		if (!i && a.status >= 300) {
			github_fail(g, &a, path.buf, err);
			json_decref(a.json);
			break;
		}
		if (!i)
			json_decref(a.json);
		else
			nanosleep(&second, NULL);
	}
	if (i == FORK_WAIT) {
		g->code = EX_AGAIN;
		strbuf_addf(err, "the fork of %s is not there yet; run it"
			    " again", repo);
	}
	strbuf_release(&mine);
	strbuf_release(&path);
	return ret;
}

/* Who has the repository that we push to, into c->head. */
static int find_head(struct github *g, struct github_commit *c,
		     struct strbuf *err)
{
	json_t *o = know(g, c->repo, err);
	const char *head = json_get_str(o, "head");

	if (!o)
		return -1;
	if (!head) {
		bool push = json_is_true(json_object_get(o, "push"));

		if (!push && need_fork(g, c->repo, err))
			return -1;
		json_object_set_new(o, "head", push ? json_stringn(c->repo,
				    strcspn(c->repo, "/")) :
				    json_string(g->login));
		head = json_get_str(o, "head");
	}
	github_commit_release(c);
	c->head = xstrdup(head);
	return 0;
}

/* ---- git data ---- */

/* The "sha" of what a POST makes; the caller's to free. Content decides the
   name, so sending it twice does no harm. */
static char *make(struct github *g, const char *repo, const char *what,
		  json_t *body, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	struct github_answer a;
	char *sha = NULL;

	strbuf_addf(&path, "/repos/%s/git/%s", repo, what);
	if (!github_ask(g, &a, "POST", path.buf, body, true, err)) {
		const char *s = json_get_str(a.json, "sha");

		if (a.status == 201 && s)
			sha = xstrdup(s);
		else if (a.status == 201)
			strbuf_addf(err, "GitHub's answer to %s has no sha",
				    path.buf);
		else
			github_fail(g, &a, path.buf, err);
		json_decref(a.json);
	}
	strbuf_release(&path);
	return sha;
}

/* The id that a ref is at, into sha; 1: there is none. */
static int head_of(struct github *g, const char *repo, const char *branch,
		   char **sha, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	struct github_answer a;
	int ret = -1;

	*sha = NULL;
	strbuf_addf(&path, "/repos/%s/git/ref/heads/", repo);
	http_quote(&path, branch);
	if (!github_ask(g, &a, "GET", path.buf, NULL, true, err)) {
		const char *s = json_get_str(json_object_get(a.json,
							"object"), "sha");

		if (a.status == 200 && s) {
			*sha = xstrdup(s);
			ret = 0;
		} else if (a.status == 404) {
			ret = 1;
		} else {
			github_fail(g, &a, path.buf, err);
		}
		json_decref(a.json);
	}
	strbuf_release(&path);
	return ret;
}

/* 1: the branch has the file as we want it; 0: it has not. */
static int has_file(struct github *g, const char *repo, const char *ref,
		    const char *path, const char *blob, struct strbuf *err)
{
	struct strbuf url = STRBUF_INIT;
	struct github_answer a;
	int ret = -1;

	strbuf_addf(&url, "/repos/%s/contents/", repo);
	http_quote(&url, path);
	strbuf_addf(&url, "?ref=%s", ref);
	if (!github_ask(g, &a, "GET", url.buf, NULL, true, err)) {
		const char *s = json_get_str(a.json, "sha");

		if (a.status == 200 || a.status == 404)
			ret = a.status == 200 && s && !strcmp(s, blob);
		else
			github_fail(g, &a, url.buf, err);
		json_decref(a.json);
	}
	strbuf_release(&url);
	return ret;
}

/* Blobs of all files, as entries of a tree; NULL with a sentence. */
static json_t *make_blobs(struct github *g, const char *repo,
			  const struct github_commit *c, struct strbuf *err)
{
	json_t *tree = json_array();
	char *sha;
	size_t i;

	for (i = 0; i < c->n; i++) {
		struct strbuf text = STRBUF_INIT;

		base64_encode(&text, c->file[i].data, c->file[i].len);
		sha = make(g, repo, "blobs", json_pack("{s:s, s:s}", "content",
			   text.buf, "encoding", "base64"), err);
		strbuf_release(&text);
		if (!sha) {
			json_decref(tree);
			return NULL;
		}
		json_array_append_new(tree, json_pack("{s:s, s:s, s:s, s:s}",
				      "path", c->file[i].path, "mode",
				      "100644", "type", "blob", "sha", sha));
		free(sha);
	}
	return tree;
}

static int all_there(struct github *g, const char *repo, const char *ref,
		     const struct github_commit *c, const json_t *tree,
		     struct strbuf *err)
{
	size_t i;
	int has = 1;

	for (i = 0; i < c->n && has == 1; i++)
		has = has_file(g, repo, ref, c->file[i].path, json_get_str(
			       json_array_get(tree, i), "sha"), err);
	return has;
}

static char *make_commit(struct github *g, const char *repo,
			 const struct github_commit *c, const char *parent,
			 json_t *tree, struct strbuf *err)
{
	json_t *j = github_get(g, NULL, err, "/repos/%s/git/commits/%s", repo,
			       parent);
	const char *base = json_get_str(json_object_get(j, "tree"), "sha");
	char *t = NULL, *sha = NULL;

	if (j && !base)
		strbuf_addf(err, "GitHub does not tell the tree of %s",
			    parent);
	if (base)
		t = make(g, repo, "trees", json_pack("{s:s, s:O}", "base_tree",
			 base, "tree", tree), err);
	if (t)
		sha = make(g, repo, "commits", json_pack("{s:s, s:s, s:[s]}",
			   "message", c->message, "tree", t, "parents",
			   parent), err);
	free(t);
	json_decref(j);
	return sha;
}

/* 1: somebody else was there in between, look again. */
static int set_branch(struct github *g, const char *repo, const char *branch,
		      const char *sha, bool create, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT, ref = STRBUF_INIT;
	struct github_answer a;
	int ret;

	strbuf_addf(&path, "/repos/%s/git/refs", repo);
	strbuf_addf(&ref, "refs/heads/%s", branch);
	if (!create) {
		strbuf_addstr(&path, "/heads/");
		http_quote(&path, branch);
	}
	ret = github_ask(g, &a, create ? "POST" : "PATCH", path.buf, create ?
			 json_pack("{s:s, s:s}", "ref", ref.buf, "sha", sha) :
			 json_pack("{s:s, s:b}", "sha", sha, "force", 0),
			 !create, err);
	if (!ret && a.status >= 300) {
		ret = a.status == 422 || a.unsure ? 1 : -1;
		github_fail(g, &a, path.buf, err);
	} else if (ret && a.unsure) {
		ret = 1;
	}
	json_decref(a.json);
	strbuf_release(&path);
	strbuf_release(&ref);
	return ret;
}

/* 0: the branch is as wanted; 1: look again; -1. */
static int push_once(struct github *g, struct github_commit *c,
		     const char *repo, json_t *tree, struct strbuf *err)
{
	char *at, *parent = NULL, *sha = NULL;
	const char *base;
	int has, ret = -1, none = head_of(g, repo, c->branch, &at, err);

	if (none < 0)
		return -1;
	if (at) {
		has = all_there(g, repo, at, c, tree, err);
		if (has) {
			free(at);
			return has < 0 ? -1 : 0;
		}
		parent = at;
	} else if (c->parent) {
		parent = xstrdup(c->parent);
	} else if ((base = github_default_branch(g, c->repo, err))) {
		if (head_of(g, c->repo, base, &parent, err) == 1)
			strbuf_addf(err, "%s has no branch %s", c->repo, base);
	}
	if (parent)
		sha = make_commit(g, repo, c, parent, tree, err);
	if (sha)
		ret = set_branch(g, repo, c->branch, sha, !at, err);
	c->changed |= !ret;
	free(parent);
	free(sha);
	return ret;
}

int github_push(struct github *g, struct github_commit *c, struct strbuf *err)
{
	struct strbuf repo = STRBUF_INIT, why = STRBUF_INIT;
	json_t *tree;
	int i, ret = -1;

	c->changed = false;
	if (find_head(g, c, err))
		return -1;
	strbuf_addf(&repo, "%s%s", c->head, strchr(c->repo, '/'));
	tree = make_blobs(g, repo.buf, c, err);
	for (i = 0; tree && i < TRIES; i++) {
		strbuf_reset(&why);
		ret = push_once(g, c, repo.buf, tree, &why);
		if (ret <= 0)
			break;
	}
	if (ret)
		strbuf_addstr(err, why.buf);
	json_decref(tree);
	strbuf_release(&repo);
	strbuf_release(&why);
	return ret ? -1 : 0;
}
