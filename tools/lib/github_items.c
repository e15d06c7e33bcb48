#include "github_call.h"

#define TRIES 4		/* of finding and creating, while it is unsure */
#define PAGES 10	/* of 100 issues: those of ours that are looked through */

void github_item_release(struct github_item *it)
{
	free(it->url);
	it->url = NULL;
}

static bool has_marker(const json_t *j, const char *marker)
{
	const char *body = json_get_str(j, "body");

	return body && strstr(body, marker);
}

/* Takes over what the server says of it. */
static int take(struct github_item *it, const json_t *j, struct strbuf *err)
{
	const char *url = json_get_str(j, "html_url");
	const char *state = json_get_str(j, "state");

	if (!url || !state) {
		strbuf_addf(err, "GitHub's answer about '%s' has no html_url",
			    it->title);
		return -1;
	}
	github_item_release(it);
	it->url = xstrdup(url);
	it->closed = strcmp(state, "open");
	it->merged = json_is_true(json_object_get(j, "merged")) ||
		json_is_string(json_object_get(j, "merged_at"));
	return 0;
}

/* Open ones before closed ones, the newest first. */
static int find_issue(struct github *g, const struct github_item *it,
		      json_t **found, struct strbuf *err)
{
	bool more = true;
	json_t *list, *v;
	size_t i;
	int page;

	for (page = 1; more && page <= PAGES; page++) {
		list = github_get(g, &more, err, "/repos/%s/issues?creator=%s&state="
			   "all&per_page=100&page=%d", it->repo, g->login,
			   page);
		if (!list)
			return -1;
		json_array_foreach(list, i, v) {
			bool open = json_get_str(v, "state") &&
				!strcmp(json_get_str(v, "state"), "open");

			if (has_marker(v, it->marker) && (!*found || open)) {
				json_decref(*found);
				*found = json_incref(v);
				more &= !open;
				if (open)
					break;
			}
		}
		json_decref(list);
	}
	return 0;
}

static int find_pull(struct github *g, const struct github_item *it,
		     json_t **found, struct strbuf *err)
{
	struct strbuf branch = STRBUF_INIT;
	json_t *list, *v;
	size_t i;

	http_quote(&branch, it->branch);
	list = github_get(g, NULL, err, "/repos/%s/pulls?head=%s:%s&state=all"
		   "&per_page=100", it->repo, it->head, branch.buf);
	strbuf_release(&branch);
	if (!list)
		return -1;
	json_array_foreach(list, i, v) {
		bool open = json_get_str(v, "state") &&
			!strcmp(json_get_str(v, "state"), "open");

		if (*found && !open)
			continue;
		json_decref(*found);
		*found = json_incref(v);
		if (open)
			break;
	}
	json_decref(list);
	return 0;
}

static long number_of(const json_t *j)
{
	return (long)json_integer_value(json_object_get(j, "number"));
}

static bool differs(const json_t *j, const char *key, const char *want)
{
	const char *have = json_get_str(j, key);

	return !have || strcmp(have, want);
}

/* Title and body as we want them, while it is open. */
static int bring_up_to_date(struct github *g, struct github_item *it,
			    const json_t *found, const char *kind,
			    struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	struct github_answer a = { .json = NULL };
	int ret = take(it, found, err);

	if (!ret && !has_marker(found, it->marker)) {
		it->foreign = true;
		return 0;
	}
	if (!ret && !it->closed && (differs(found, "title", it->title) ||
				    differs(found, "body", it->body))) {
		strbuf_addf(&path, "/repos/%s/%s/%ld", it->repo, kind,
			    number_of(found));
		ret = github_ask(g, &a, "PATCH", path.buf, json_pack("{s:s, s:s}",
			  "title", it->title, "body", it->body), true, err);
		if (!ret && a.status != 200)
			ret = github_fail(g, &a, path.buf, err);
		it->changed = !ret;
	}
	json_decref(a.json);
	strbuf_release(&path);
	return ret;
}

static json_t *new_pull(struct github *g, const struct github_item *it,
			struct strbuf *err)
{
	struct strbuf head = STRBUF_INIT;
	const char *base = github_default_branch(g, it->repo, err);
	json_t *j = NULL;

	if (base) {
		strbuf_addf(&head, "%s:%s", it->head, it->branch);
		j = json_pack("{s:s, s:s, s:s, s:s, s:b}", "title", it->title,
			      "body", it->body, "head", head.buf, "base", base,
			      "draft", it->draft);
	}
	strbuf_release(&head);
	return j;
}

/* Finds it or opens it; while it is unsure, looks again. */
static int settle(struct github *g, struct github_item *it, bool pull,
		  struct strbuf *err)
{
	const char *kind = pull ? "pulls" : "issues";
	struct strbuf path = STRBUF_INIT, why = STRBUF_INIT;
	struct github_answer a = { .json = NULL };
	json_t *found = NULL, *body;
	int i, ret = -1;

	strbuf_addf(&path, "/repos/%s/%s", it->repo, kind);
	for (i = 0; i < TRIES; i++) {
		strbuf_reset(&why);
		ret = pull ? find_pull(g, it, &found, &why)
			   : find_issue(g, it, &found, &why);
		if (ret || found)
			break;
		body = pull ? new_pull(g, it, &why) :
			json_pack("{s:s, s:s, s:O}", "title", it->title,
				  "body", it->body, "labels", it->labels);
		ret = body ? 0 : -1;
		if (!body)
			break;
		ret = github_ask(g, &a, "POST", path.buf, body, false, &why);
		if (!ret && a.status == 201 && !take(it, a.json, &why)) {
			it->is_new = true;
			break;
		}
		if (!ret && !why.len)
			github_fail(g, &a, path.buf, &why);
		ret = -1;
		/* a pull that exists already is found by looking again */
		if (!a.unsure && !(pull && a.status == 422 && !i) &&
		    a.status != 201)
			break;
		json_decref(a.json);
		a.json = NULL;
	}
	if (!ret && found)
		ret = bring_up_to_date(g, it, found, kind, &why);
	if (ret)
		strbuf_addstr(err, why.buf);
	json_decref(found);
	json_decref(a.json);
	strbuf_release(&path);
	strbuf_release(&why);
	return ret;
}

int github_issue(struct github *g, struct github_item *it, struct strbuf *err)
{
	return settle(g, it, false, err);
}

int github_pull(struct github *g, struct github_item *it, struct strbuf *err)
{
	return settle(g, it, true, err);
}

int github_pull_state(struct github *g, struct github_item *it, long number,
		      struct strbuf *err)
{
	json_t *j = github_get(g, NULL, err, "/repos/%s/pulls/%ld", it->repo, number);
	int ret = j ? take(it, j, err) : -1;

	json_decref(j);
	return ret;
}

json_t *github_pull_files(struct github *g, const char *repo, long number,
			  struct strbuf *err)
{
	json_t *j = github_get(g, NULL, err, "/repos/%s/pulls/%ld/files?per_page=100",
			repo, number), *v, *out;
	size_t i;

	if (!j)
		return NULL;
	out = json_array();
	json_array_foreach(j, i, v)
		if (json_get_str(v, "filename"))
			json_array_append(out, json_object_get(v, "filename"));
	json_decref(j);
	return out;
}

char *github_body(struct github *g, const char *repo, long number,
		  struct strbuf *err)
{
	json_t *j = github_get(g, NULL, err, "/repos/%s/issues/%ld", repo, number);
	const char *body = json_get_str(j, "body");
	char *s = j ? xstrdup(body ? body : "") : NULL;

	json_decref(j);
	return s;
}
