/* github_items.c - GitHub's issues and pull requests. */
#include "hub.h"
#include "git.h"

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
	json_object_set_new(j, "user", github_user_json(json_get_str(it, "user")));
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
	if (hub_route(rq, "GET", R "/pulls")) {
		if (github_repo(rq, r))
			list_items(rq, r, true);
	} else if (hub_route(rq, "GET", R "/issues")) {
		if (github_repo(rq, r))
			list_items(rq, r, false);
	} else if (hub_route(rq, "GET", R "/pulls/*/files")) {
		if (github_repo(rq, r))
			pull_files(rq, r, rq->part[2]);
	} else if (hub_route(rq, "GET", R "/pulls/*") ||
		   hub_route(rq, "GET", R "/issues/*")) {
		if (github_repo(rq, r))
			one_item(rq, r, rq->part[2], NULL);
	} else {
		return false;
	}
	return true;
}

static bool writes(struct request *rq, struct repo *r)
{
	bool pull = hub_route(rq, "POST", R "/pulls");
	json_t *b;

	if (pull || hub_route(rq, "POST", R "/issues")) {
		if (hub_user(rq) && github_repo(rq, r) && (b = hub_body(rq))) {
			open_item(rq, r, b, pull);
			json_decref(b);
		}
	} else if (hub_route(rq, "PATCH", R "/pulls/*") ||
		   hub_route(rq, "PATCH", R "/issues/*")) {
		if (hub_user(rq) && github_repo(rq, r) && (b = hub_body(rq))) {
			one_item(rq, r, rq->part[2], b);
			json_decref(b);
		}
	} else if (hub_route(rq, "PUT", R "/pulls/*/merge")) {
		if (github_repo(rq, r) && github_need_push(rq, r))
			merge(rq, r, rq->part[2]);
	} else if (hub_route(rq, "POST", R "/forks")) {
		if (github_repo(rq, r))
			github_fork(rq, r);
	} else {
		return false;
	}
	return true;
}

bool github_items(struct request *rq, struct repo *r)
{
	return reads(rq, r) || writes(rq, r);
}
