/* github.c - GitHub's REST API below /github: what mkpr and PyGithub ask. */
#include "hub.h"
#include "git.h"

static const char *const ident[] = { "-c", "user.name=octo", "-c",
	"user.email=octo@localhost" };
#define IDENT ident[0], ident[1], ident[2], ident[3]

bool github_repo(struct request *rq, struct repo *r)
{
	r->owner = rq->part[0];
	r->name = rq->part[1];
	r->git = NULL;
	if (!store_has("github", r->owner, r->name)) {
		hub_refuse(rq, 404, "Not Found");
		return false;
	}
	r->git = store_git("github", r->owner, r->name);
	return true;
}

bool github_may_push(const struct request *rq, const struct repo *r)
{
	return rq->user && (!strcmp(rq->user, r->owner) ||
			    hub_may_write(rq->user));
}

bool github_need_push(struct request *rq, const struct repo *r)
{
	if (!hub_user(rq))
		return false;
	if (github_may_push(rq, r))
		return true;
	hub_refuse(rq, 403, "Resource not accessible");
	return false;
}

json_t *github_user_json(const char *login)
{
	return json_pack("{s:s, s:s}", "login", login, "type", "User");
}

/* ---- repositories ---- */

static char *parent_of(const struct repo *r)
{
	json_t *db = store_load("github", r->owner, r->name);
	const char *p = json_get_str(db, "parent");
	char *s = p ? xstrdup(p) : NULL;

	json_decref(db);
	return s;
}

static json_t *repo_json(const struct request *rq, const struct repo *r)
{
	struct strbuf full = STRBUF_INIT, url = STRBUF_INIT, html = STRBUF_INIT;
	char *parent = parent_of(r);
	bool push = github_may_push(rq, r);
	json_t *j;

	strbuf_addf(&full, "%s/%s", r->owner, r->name);
	strbuf_addf(&url, "%s/github/repos/%s", hub_url, full.buf);
	strbuf_addf(&html, "%s/github/%s", hub_url, full.buf);
	j = json_pack("{s:s, s:s, s:s, s:s, s:o, s:b, s:s, s:{s:b, s:b, s:b}}",
		      "name", r->name, "full_name", full.buf, "url", url.buf,
		      "html_url", html.buf, "owner", github_user_json(r->owner),
		      "fork", parent != NULL, "default_branch", "main",
		      "permissions", "pull", 1, "push", push, "admin", push);
	if (parent)
		json_object_set_new(j, "parent", json_pack("{s:s}",
				    "full_name", parent));
	free(parent);
	strbuf_release(&full);
	strbuf_release(&url);
	strbuf_release(&html);
	return j;
}

void github_fork(struct request *rq, struct repo *r)
{
	struct strbuf spec = STRBUF_INIT;
	struct repo mine = { rq->user, r->name, NULL };
	json_t *db;

	if (!hub_user(rq))
		return;
	if (!store_has("github", rq->user, r->name)) {
		strbuf_addf(&spec, "%s/%s=@%s", rq->user, r->name, r->git);
		store_make("github", spec.buf);
		db = store_load("github", rq->user, r->name);
		strbuf_reset(&spec);
		strbuf_addf(&spec, "%s/%s", r->owner, r->name);
		json_object_set_new(db, "parent", json_string(spec.buf));
		store_save("github", rq->user, r->name, db);
		json_decref(db);
	}
	mine.owner = rq->user;
	hub_answer(rq, 202, repo_json(rq, &mine));
	strbuf_release(&spec);
}

/* ---- git data ---- */

static json_t *ref_json(const char *ref, const char *sha)
{
	struct strbuf full = STRBUF_INIT;
	json_t *j;

	strbuf_addf(&full, "refs/%s", ref);
	j = json_pack("{s:s, s:{s:s, s:s}}", "ref", full.buf, "object",
		      "sha", sha, "type", "commit");
	strbuf_release(&full);
	return j;
}

static void get_ref(struct request *rq, struct repo *r)
{
	struct strbuf full = STRBUF_INIT;
	char sha[65];

	strbuf_addf(&full, "refs/%s", rq->rest);
	if (store_commit(r->git, full.buf, sha))
		hub_answer(rq, 200, ref_json(rq->rest, sha));
	else
		hub_refuse(rq, 404, "Not Found");
	strbuf_release(&full);
}

static void set_ref(struct request *rq, struct repo *r, const char *ref,
		    const char *sha, bool create, bool force)
{
	char had[65], want[65];
	bool exists;

	if (!ref || !sha || strncmp(ref, "refs/heads/", 11) ||
	    !store_commit(r->git, sha, want)) {
		hub_refuse(rq, 422, "Object does not exist");
		return;
	}
	exists = store_commit(r->git, ref, had);
	if (create == exists) {
		hub_refuse(rq, 422, create ? "Reference already exists" :
			   "Reference does not exist");
	} else if (exists && !force && store_run(r->git, NULL, 0, NULL,
		   GIT_ARGS("merge-base", "--is-ancestor", had, want))) {
		hub_refuse(rq, 422, "Update is not a fast forward");
	} else if (store_run(r->git, NULL, 0, NULL, GIT_ARGS("update-ref",
		   ref, want))) {
		hub_refuse(rq, 422, "Reference name is not valid");
	} else {
		hub_answer(rq, create ? 201 : 200, ref_json(ref + 5, want));
	}
}

static void post_blob(struct request *rq, struct repo *r, const json_t *b)
{
	const char *text = json_get_str(b, "content");
	const char *enc = json_get_str(b, "encoding");
	struct strbuf data = STRBUF_INIT, out = STRBUF_INIT, err = STRBUF_INIT;

	if (!text) {
		hub_refuse(rq, 422, "content is missing");
		return;
	}
	if (enc && !strcmp(enc, "base64") ? base64_decode(&data, text, &err)
					   : (strbuf_addstr(&data, text), 0)) {
		hub_refuse(rq, 422, "%s", err.buf);
	} else {
		store_run(r->git, data.buf, data.len, &out,
			  GIT_ARGS("hash-object", "-w", "--stdin"));
		hub_answer(rq, 201, json_pack("{s:s}", "sha", out.buf));
	}
	strbuf_release(&data);
	strbuf_release(&out);
	strbuf_release(&err);
}

/* The base tree with the entries put into it, by way of an index file. */
static void post_tree(struct request *rq, struct repo *r, const json_t *b)
{
	const char *base = json_get_str(b, "base_tree"), *sha;
	struct strbuf lines = STRBUF_INIT, out = STRBUF_INIT;
	char index[] = "/tmp/rehearse-index.XXXXXX";
	json_t *e;
	size_t i;
	int fd = mkstemp(index);

	if (fd >= 0)
		close(fd);
	unlink(index);
	json_array_foreach(json_object_get(b, "tree"), i, e) {
		sha = json_get_str(e, "sha");
		strbuf_addf(&lines, "%s %s\t%s\n", sha ? json_get_str(e,
			    "mode") : "0", sha ? sha :
			    "0000000000000000000000000000000000000000",
			    json_get_str(e, "path"));
	}
	setenv("GIT_INDEX_FILE", index, 1);
	if ((base && store_run(r->git, NULL, 0, NULL, GIT_ARGS("read-tree",
			       base))) ||
	    store_run(r->git, lines.buf, lines.len, NULL, GIT_ARGS(
		      "update-index", "--index-info")) ||
	    store_run(r->git, NULL, 0, &out, GIT_ARGS("write-tree",
						      "--missing-ok")))
		hub_refuse(rq, 422, "tree is not valid");
	else
		hub_answer(rq, 201, json_pack("{s:s}", "sha", out.buf));
	unsetenv("GIT_INDEX_FILE");
	unlink(index);
	strbuf_release(&lines);
	strbuf_release(&out);
}

static void post_commit(struct request *rq, struct repo *r, const json_t *b)
{
	const char *message = json_get_str(b, "message");
	const char *tree = json_get_str(b, "tree");
	const char *parent = json_string_value(json_array_get(
				json_object_get(b, "parents"), 0));
	struct strbuf out = STRBUF_INIT;
	int bad;

	if (!message || !tree)
		bad = 1;
	else if (parent)
		bad = store_run(r->git, message, strlen(message), &out,
				GIT_ARGS(IDENT, "commit-tree", "-p", parent,
					 tree));
	else
		bad = store_run(r->git, message, strlen(message), &out,
				GIT_ARGS(IDENT, "commit-tree", tree));
	if (bad)
		hub_refuse(rq, 422, "Tree SHA or parent does not exist");
	else
		hub_answer(rq, 201, json_pack("{s:s, s:{s:s}, s:s}", "sha",
			   out.buf, "tree", "sha", tree, "message", message));
	strbuf_release(&out);
}

static void get_commit(struct request *rq, struct repo *r)
{
	struct strbuf tree = STRBUF_INIT, rev = STRBUF_INIT;

	strbuf_addf(&rev, "%s^{tree}", rq->rest);
	if (*rq->rest == '-' || store_run(r->git, NULL, 0, &tree, GIT_ARGS(
			"rev-parse", "--verify", "-q", rev.buf)))
		hub_refuse(rq, 404, "Not Found");
	else
		hub_answer(rq, 200, json_pack("{s:s, s:{s:s}}", "sha",
			   rq->rest, "tree", "sha", tree.buf));
	strbuf_release(&tree);
	strbuf_release(&rev);
}

static void get_contents(struct request *rq, struct repo *r)
{
	const char *ref = rq->query(rq, "ref");
	struct strbuf data = STRBUF_INIT, text = STRBUF_INIT;
	char sha[65];

	if (!store_blob(r->git, ref ? ref : "HEAD", rq->rest, sha, &data)) {
		hub_refuse(rq, 404, "Not Found");
	} else {
		base64_encode(&text, data.buf, data.len);
		hub_answer(rq, 200, json_pack("{s:s, s:s, s:s, s:s, s:I, s:s,"
			   " s:s}", "type", "file", "path", rq->rest, "name",
			   strrchr(rq->rest, '/') ? strrchr(rq->rest, '/') + 1
			   : rq->rest, "sha", sha, "size", (json_int_t)data.len,
			   "encoding", "base64", "content", text.buf));
	}
	strbuf_release(&data);
	strbuf_release(&text);
}

/* ---- routes ---- */

#define R "/github/repos/*/*"

static bool reads(struct request *rq, struct repo *r)
{
	if (hub_route(rq, "GET", R)) {
		if (github_repo(rq, r))
			hub_answer(rq, 200, repo_json(rq, r));
	} else if (hub_route(rq, "GET", R "/git/ref/**") ||
		   hub_route(rq, "GET", R "/git/refs/**")) {
		if (github_repo(rq, r))
			get_ref(rq, r);
	} else if (hub_route(rq, "GET", R "/git/commits/**")) {
		if (github_repo(rq, r))
			get_commit(rq, r);
	} else if (hub_route(rq, "GET", R "/contents/**")) {
		if (github_repo(rq, r))
			get_contents(rq, r);
	} else {
		return false;
	}
	return true;
}

static bool writes_git(struct request *rq, struct repo *r)
{
	static const struct {
		const char *pattern;
		void (*fn)(struct request *rq, struct repo *r,
			   const json_t *b);
	} posts[] = { { R "/git/blobs", post_blob },
		      { R "/git/trees", post_tree },
		      { R "/git/commits", post_commit } };
	json_t *b;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(posts); i++) {
		if (!hub_route(rq, "POST", posts[i].pattern))
			continue;
		if (github_repo(rq, r) && github_need_push(rq, r) && (b = hub_body(rq))) {
			posts[i].fn(rq, r, b);
			json_decref(b);
		}
		return true;
	}
	if (hub_route(rq, "POST", R "/git/refs")) {
		if (github_repo(rq, r) && github_need_push(rq, r) && (b = hub_body(rq))) {
			set_ref(rq, r, json_get_str(b, "ref"),
				json_get_str(b, "sha"), true, false);
			json_decref(b);
		}
		return true;
	}
	if (hub_route(rq, "PATCH", R "/git/refs/**")) {
		if (github_repo(rq, r) && github_need_push(rq, r) && (b = hub_body(rq))) {
			struct strbuf ref = STRBUF_INIT;

			strbuf_addf(&ref, "refs/%s", rq->rest);
			set_ref(rq, r, ref.buf, json_get_str(b, "sha"), false,
				json_is_true(json_object_get(b, "force")));
			strbuf_release(&ref);
			json_decref(b);
		}
		return true;
	}
	return false;
}

bool github_serve(struct request *rq)
{
	struct repo r = { .git = NULL };
	bool yes = true;

	if (hub_route(rq, "GET", "/github/user")) {
		if (hub_user(rq))
			hub_answer(rq, 200, github_user_json(rq->user));
	} else {
		yes = reads(rq, &r) || writes_git(rq, &r) ||
			github_items(rq, &r);
	}
	free(r.git);
	return yes;
}
