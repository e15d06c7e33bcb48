/* github.c - GitHub's REST API below /github: what mkpr and PyGithub ask. */
#include "hub.h"
#include "git.h"

static const char *const ident[] = { "-c", "user.name=octo", "-c",
	"user.email=octo@localhost" };
#define IDENT ident[0], ident[1], ident[2], ident[3]

struct repo {
	const char *owner, *name;
	char *git;
};

static bool repo_of(struct request *rq, struct repo *r)
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

static bool may_push(const struct request *rq, const struct repo *r)
{
	return rq->user && (!strcmp(rq->user, r->owner) ||
			    hub_may_write(rq->user));
}

static bool need_push(struct request *rq, const struct repo *r)
{
	if (!hub_user(rq))
		return false;
	if (may_push(rq, r))
		return true;
	hub_refuse(rq, 403, "Resource not accessible");
	return false;
}

static json_t *user_json(const char *login)
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
	bool push = may_push(rq, r);
	json_t *j;

	strbuf_addf(&full, "%s/%s", r->owner, r->name);
	strbuf_addf(&url, "%s/github/repos/%s", hub_url, full.buf);
	strbuf_addf(&html, "%s/github/%s", hub_url, full.buf);
	j = json_pack("{s:s, s:s, s:s, s:s, s:o, s:b, s:s, s:{s:b, s:b, s:b}}",
		      "name", r->name, "full_name", full.buf, "url", url.buf,
		      "html_url", html.buf, "owner", user_json(r->owner),
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

static void fork_repo(struct request *rq, struct repo *r)
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

/* ---- issues and pulls ---- */

static json_t *item_json(const struct repo *r, const json_t *it)
{
	bool pull = json_object_get(it, "head") != NULL;
	struct strbuf url = STRBUF_INIT, html = STRBUF_INIT, head = STRBUF_INIT;
	json_int_t n = json_integer_value(json_object_get(it, "number"));
	json_t *j = json_deep_copy(it);

	strbuf_addf(&url, "%s/github/repos/%s/%s/%s/%lld", hub_url, r->owner,
		    r->name, pull ? "pulls" : "issues", (long long)n);
	strbuf_addf(&html, "%s/github/%s/%s/%s/%lld", hub_url, r->owner,
		    r->name, pull ? "pull" : "issues", (long long)n);
	json_object_set_new(j, "url", json_string(url.buf));
	json_object_set_new(j, "html_url", json_string(html.buf));
	json_object_set_new(j, "user", user_json(json_get_str(it, "user")));
	if (pull) {
		const json_t *h = json_object_get(it, "head");

		strbuf_addf(&head, "%s:%s", json_get_str(h, "owner"),
			    json_get_str(h, "ref"));
		json_object_set_new(j, "head", json_pack("{s:s, s:s}", "ref",
			json_get_str(h, "ref"), "label", head.buf));
		json_object_set_new(j, "base", json_pack("{s:s}", "ref",
						json_get_str(it, "base")));
		json_object_set_new(j, "pull_request", json_object());
	}
	strbuf_release(&url);
	strbuf_release(&html);
	strbuf_release(&head);
	return j;
}

static bool wanted(const struct request *rq, const json_t *it, bool pulls)
{
	const char *state = rq->query(rq, "state");
	const char *creator = rq->query(rq, "creator");
	const char *head = rq->query(rq, "head");
	const json_t *h = json_object_get(it, "head");
	struct strbuf label = STRBUF_INIT;
	bool yes = !pulls || h;

	if (strcmp(state ? state : "open", "all"))
		yes &= !strcmp(json_get_str(it, "state"),
			       state ? state : "open");
	if (creator && !pulls)
		yes &= !strcmp(json_get_str(it, "user"), creator);
	if (head && pulls && h) {
		strbuf_addf(&label, "%s:%s", json_get_str(h, "owner"),
			    json_get_str(h, "ref"));
		yes &= !strcmp(label.buf, head);
	}
	strbuf_release(&label);
	return yes;
}

/* The newest first, per_page of them. */
static void list_items(struct request *rq, struct repo *r, bool pulls)
{
	const char *pp = rq->query(rq, "per_page"), *pg = rq->query(rq, "page");
	long per = pp ? strtol(pp, NULL, 10) : 30;
	long page = pg ? strtol(pg, NULL, 10) : 1, skip;
	json_t *db = store_load("github", r->owner, r->name), *all, *it;
	json_t *out = json_array();
	json_int_t n;
	char key[24];

	per = per < 1 || per > 100 ? 30 : per;
	skip = (page < 1 ? 0 : page - 1) * per;
	all = json_object_get(db, "items");
	for (n = json_integer_value(json_object_get(db, "next")) - 1; n > 0;
	     n--) {
		snprintf(key, sizeof(key), "%lld", (long long)n);
		it = json_object_get(all, key);
		if (!it || !wanted(rq, it, pulls) || skip-- > 0)
			continue;
		if (json_array_size(out) == (size_t)per) {
			hub_header(rq, "Link", "<%s%s?page=%ld>; rel=\"next\"",
				   hub_url, rq->path, page + 1);
			break;
		}
		json_array_append_new(out, item_json(r, it));
	}
	hub_answer(rq, 200, out);
	json_decref(db);
}

static void open_item(struct request *rq, struct repo *r, const json_t *b,
		      bool pull)
{
	json_t *db = store_load("github", r->owner, r->name), *it, *v;
	json_t *all = json_object_get(db, "items"), *labels = json_array();
	json_int_t n = json_integer_value(json_object_get(db, "next"));
	const char *title = json_get_str(b, "title"), *key_;
	const char *head = json_get_str(b, "head"), *colon;
	struct strbuf owner = STRBUF_INIT, ref = STRBUF_INIT;
	char key[24], sha[65], *git;
	size_t i;

	if (!title || !*title || (pull && (!head || !json_get_str(b, "base")))) {
		hub_refuse(rq, 422, "Validation Failed");
		goto out;
	}
	json_array_foreach(json_object_get(b, "labels"), i, v)
		json_array_append_new(labels, json_pack("{s:O}", "name", v));
	it = json_pack("{s:I, s:s, s:s, s:s, s:s, s:O}", "number", n, "title",
		       title, "body", json_get_str(b, "body") ?
		       json_get_str(b, "body") : "", "state", "open", "user",
		       rq->user, "labels", labels);
	if (pull) {
		colon = strchr(head, ':');
		strbuf_addf(&owner, "%.*s", colon ? (int)(colon - head) : 0,
			    head);
		if (!colon)
			strbuf_addstr(&owner, r->owner);
		strbuf_addf(&ref, "refs/heads/%s", colon ? colon + 1 : head);
		git = store_git("github", owner.buf, r->name);
		if (!store_commit(git, ref.buf, sha)) {
			hub_refuse(rq, 422, "head is invalid");
			free(git);
			json_decref(it);
			goto out;
		}
		free(git);
		json_object_foreach(all, key_, v) {
			const json_t *h = json_object_get(v, "head");

			if (h && !strcmp(json_get_str(v, "state"), "open") &&
			    !strcmp(json_get_str(h, "owner"), owner.buf) &&
			    !strcmp(json_get_str(h, "ref"), ref.buf + 11)) {
				hub_refuse(rq, 422, "A pull request already"
					   " exists for %s", head);
				json_decref(it);
				goto out;
			}
		}
		json_object_set_new(it, "head", json_pack("{s:s, s:s}",
				    "owner", owner.buf, "ref", ref.buf + 11));
		json_object_set(it, "base", json_object_get(b, "base"));
		json_object_set_new(it, "merged", json_false());
		if (json_object_get(b, "draft"))
			json_object_set(it, "draft",
					json_object_get(b, "draft"));
	}
	snprintf(key, sizeof(key), "%lld", (long long)n);
	json_object_set(all, key, it);
	json_object_set_new(db, "next", json_integer(n + 1));
	store_save("github", r->owner, r->name, db);
	hub_answer(rq, 201, item_json(r, it));
	json_decref(it);
out:
	json_decref(db);
	json_decref(labels);
	strbuf_release(&owner);
	strbuf_release(&ref);
}

static void one_item(struct request *rq, struct repo *r, const char *number,
		     const json_t *b)
{
	static const char *const keys[] = { "title", "body", "state" };
	json_t *db = store_load("github", r->owner, r->name), *it;
	size_t i;

	it = json_object_get(json_object_get(db, "items"), number);
	if (!it) {
		hub_refuse(rq, 404, "Not Found");
	} else {
		for (i = 0; b && i < ARRAY_SIZE(keys); i++)
			if (json_object_get(b, keys[i]))
				json_object_set(it, keys[i],
						json_object_get(b, keys[i]));
		if (b)
			store_save("github", r->owner, r->name, db);
		hub_answer(rq, 200, item_json(r, it));
	}
	json_decref(db);
}

static char *head_commit(const struct repo *r, const char *number)
{
	json_t *db = store_load("github", r->owner, r->name);
	const json_t *h = json_object_get(json_object_get(json_object_get(db,
					  "items"), number), "head");
	struct strbuf ref = STRBUF_INIT;
	char *git = h ? store_git("github", json_get_str(h, "owner"), r->name)
		      : NULL, sha[65], *s = NULL;

	if (h) {
		strbuf_addf(&ref, "refs/heads/%s", json_get_str(h, "ref"));
		if (store_commit(git, ref.buf, sha)) {
			/* a fork's objects are the base's, too */
			store_run(r->git, NULL, 0, NULL, GIT_ARGS("-c",
				  "protocol.file.allow=always", "fetch", "-q",
				  git, sha));
			s = xstrdup(sha);
		}
	}
	free(git);
	json_decref(db);
	strbuf_release(&ref);
	return s;
}

static void pull_files(struct request *rq, struct repo *r, const char *number)
{
	char *sha = head_commit(r, number), *p, *nl;
	struct strbuf out = STRBUF_INIT;
	json_t *files = json_array();

	if (!sha) {
		hub_refuse(rq, 404, "Not Found");
		json_decref(files);
		return;
	}
	store_run(r->git, NULL, 0, &out, GIT_ARGS("diff", "--name-only",
						  "main", sha));
	for (p = out.buf; *p; p = *nl ? nl + 1 : nl) {
		nl = p + strcspn(p, "\n");
		json_array_append_new(files, json_pack("{s:s%}", "filename", p,
						       (size_t)(nl - p)));
	}
	hub_answer(rq, 200, files);
	free(sha);
	strbuf_release(&out);
}

static void merge(struct request *rq, struct repo *r, const char *number)
{
	char *sha = head_commit(r, number);
	json_t *db = store_load("github", r->owner, r->name), *it;

	it = json_object_get(json_object_get(db, "items"), number);
	if (!sha || !it) {
		hub_refuse(rq, 404, "Not Found");
	} else {
		store_run(r->git, NULL, 0, NULL, GIT_ARGS("update-ref",
			  "refs/heads/main", sha));
		json_object_set_new(it, "merged", json_true());
		json_object_set_new(it, "state", json_string("closed"));
		store_save("github", r->owner, r->name, db);
		hub_answer(rq, 200, json_pack("{s:b, s:s}", "merged", 1, "sha",
					      sha));
	}
	free(sha);
	json_decref(db);
}

/* ---- routes ---- */

#define R "/github/repos/*/*"

static bool reads(struct request *rq, struct repo *r)
{
	if (hub_route(rq, "GET", R)) {
		if (repo_of(rq, r))
			hub_answer(rq, 200, repo_json(rq, r));
	} else if (hub_route(rq, "GET", R "/git/ref/**") ||
		   hub_route(rq, "GET", R "/git/refs/**")) {
		if (repo_of(rq, r))
			get_ref(rq, r);
	} else if (hub_route(rq, "GET", R "/git/commits/**")) {
		if (repo_of(rq, r))
			get_commit(rq, r);
	} else if (hub_route(rq, "GET", R "/contents/**")) {
		if (repo_of(rq, r))
			get_contents(rq, r);
	} else if (hub_route(rq, "GET", R "/pulls")) {
		if (repo_of(rq, r))
			list_items(rq, r, true);
	} else if (hub_route(rq, "GET", R "/issues")) {
		if (repo_of(rq, r))
			list_items(rq, r, false);
	} else if (hub_route(rq, "GET", R "/pulls/*/files")) {
		if (repo_of(rq, r))
			pull_files(rq, r, rq->part[2]);
	} else if (hub_route(rq, "GET", R "/pulls/*") ||
		   hub_route(rq, "GET", R "/issues/*")) {
		if (repo_of(rq, r))
			one_item(rq, r, rq->part[2], NULL);
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
		if (repo_of(rq, r) && need_push(rq, r) && (b = hub_body(rq))) {
			posts[i].fn(rq, r, b);
			json_decref(b);
		}
		return true;
	}
	if (hub_route(rq, "POST", R "/git/refs")) {
		if (repo_of(rq, r) && need_push(rq, r) && (b = hub_body(rq))) {
			set_ref(rq, r, json_get_str(b, "ref"),
				json_get_str(b, "sha"), true, false);
			json_decref(b);
		}
		return true;
	}
	if (hub_route(rq, "PATCH", R "/git/refs/**")) {
		if (repo_of(rq, r) && need_push(rq, r) && (b = hub_body(rq))) {
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

static bool writes_items(struct request *rq, struct repo *r)
{
	bool pull = hub_route(rq, "POST", R "/pulls");
	json_t *b;

	if (pull || hub_route(rq, "POST", R "/issues")) {
		if (hub_user(rq) && repo_of(rq, r) && (b = hub_body(rq))) {
			open_item(rq, r, b, pull);
			json_decref(b);
		}
	} else if (hub_route(rq, "PATCH", R "/pulls/*") ||
		   hub_route(rq, "PATCH", R "/issues/*")) {
		if (hub_user(rq) && repo_of(rq, r) && (b = hub_body(rq))) {
			one_item(rq, r, rq->part[2], b);
			json_decref(b);
		}
	} else if (hub_route(rq, "PUT", R "/pulls/*/merge")) {
		if (repo_of(rq, r) && need_push(rq, r))
			merge(rq, r, rq->part[2]);
	} else if (hub_route(rq, "POST", R "/forks")) {
		if (repo_of(rq, r))
			fork_repo(rq, r);
	} else {
		return false;
	}
	return true;
}

bool github_serve(struct request *rq)
{
	struct repo r = { .git = NULL };
	bool yes = true;

	if (hub_route(rq, "GET", "/github/user")) {
		if (hub_user(rq))
			hub_answer(rq, 200, user_json(rq->user));
	} else {
		yes = reads(rq, &r) || writes_git(rq, &r) ||
			writes_items(rq, &r);
	}
	free(r.git);
	return yes;
}
