/* hf_discussions.c - pull requests of the Hub: list, text, changes. */
#include "hub.h"
#include "git.h"

#define D "/api/datasets/*/*"

static json_t *event(const char *type, const char *author, json_t *data,
		     size_t n)
{
	char id[32];

	snprintf(id, sizeof(id), "event%zu", n);
	return json_pack("{s:s, s:s, s:s, s:{s:s}, s:o}", "id", id, "type",
			 type, "createdAt", "2026-01-01T00:00:00.000Z",
			 "author", "name", author, "data", data);
}

json_t *hf_comment(const char *author, const char *text, size_t n)
{
	return event("comment", author, json_pack("{s:b, s:b, s:{s:s}}",
		     "edited", 0, "hidden", 0, "latest", "raw", text), n);
}

static void list_discussions(struct request *rq, struct dataset *d)
{
	const char *status = rq->query(rq, "status"), *p = rq->query(rq, "p");
	const char *author = rq->query(rq, "author");
	long skip = (p ? strtol(p, NULL, 10) : 0) * 50;
	json_t *db = store_load("hub", d->owner, d->name), *out = json_array();
	json_t *it, *all = json_object_get(db, "items"), *c;
	json_int_t n, count = 0;
	char key[24];

	for (n = json_integer_value(json_object_get(db, "next")) - 1; n > 0;
	     n--) {
		snprintf(key, sizeof(key), "%lld", (long long)n);
		it = json_object_get(all, key);
		if (!it || (author && strcmp(author, json_get_str(
				json_object_get(it, "author"), "name"))) ||
		    (status && strcmp(status, "all") &&
		     !strcmp(status, "open") != !strcmp(json_get_str(it,
						"status"), "open")))
			continue;
		count++;
		if (skip-- > 0 || json_array_size(out) == 50)
			continue;
		c = json_copy(it);
		json_object_del(c, "events");
		json_array_append_new(out, c);
	}
	hub_answer(rq, 200, json_pack("{s:o, s:I, s:i}", "discussions", out,
			"count", count, "start", 0));
	json_decref(db);
}

static json_t *set_comment(json_t *it, const char *id, const char *text)
{
	json_t *e, *found = NULL;
	size_t i;

	json_array_foreach(json_object_get(it, "events"), i, e)
		if (!strcmp(json_get_str(e, "id"), id)) {
			json_t *data = json_object_get(e, "data");

			json_object_set_new(data, "edited", json_true());
			json_object_set_new(json_object_get(data, "latest"),
					    "raw", json_string(text));
			found = e;
		}
	return found;
}

/* GET, or one of the changes that a POST asks for. */
static void discussion(struct request *rq, struct dataset *d,
		       const char *number, const char *what)
{
	json_t *db = store_load("hub", d->owner, d->name), *b = NULL;
	json_t *it = json_object_get(json_object_get(db, "items"), number);
	json_t *events = json_object_get(it, "events"), *edited = NULL;
	json_t *changed = NULL;
	const char *text;
	char sha[65];

	if (!it) {
		hub_refuse(rq, 404, "Not Found");
		goto out;
	}
	if (what) {
		b = hub_body(rq);
		if (!b)
			goto out;
		text = json_get_str(b, !strcmp(what, "title") ? "title" :
				    !strcmp(what, "comment") ? "comment" :
				    !strcmp(what, "status") ? "status" :
				    "content");
		if (!strcmp(what, "merge")) {
			struct strbuf ref = STRBUF_INIT;

			strbuf_addf(&ref, "refs/pr/%s", number);
			if (store_commit(d->git, ref.buf, sha))
				store_run(d->git, NULL, 0, NULL, GIT_ARGS(
					"update-ref", "refs/heads/main", sha));
			json_object_set_new(it, "status",
					    json_string("merged"));
			strbuf_release(&ref);
		} else if (!text) {
			hub_refuse(rq, 400, "the body lacks a text");
			goto out;
		} else if (!strcmp(what, "comment")) {
			json_array_append_new(events, hf_comment(rq->user, text,
						json_array_size(events)));
		} else if (!strcmp(what, "title")) {
			changed = event("title-change", rq->user, json_pack(
				"{s:O, s:s}", "from", json_object_get(it,
				what), "to", text), json_array_size(events));
			json_array_append(events, changed);
			json_object_set_new(it, what, json_string(text));
		} else if (!strcmp(what, "status")) {
			json_object_set_new(it, what, json_string(text));
		} else {
			edited = set_comment(it, what, text);
		}
		store_save("hub", d->owner, d->name, db);
	}
	hub_answer(rq, 200, json_deep_copy(it));
	json_object_set_new(rq->json, "filesWithConflicts", json_array());
	if (changed)
		json_object_set_new(rq->json, "newTitle", changed);
	if (edited)
		json_object_set(rq->json, "updatedComment", edited);
	if (what && !strcmp(what, "comment"))
		json_object_set(rq->json, "newMessage", json_array_get(events,
				json_array_size(events) - 1));
out:
	json_decref(b);
	json_decref(db);
}

/* ---- routes ---- */

bool hf_discussions(struct request *rq, struct dataset *d)
{
	static const char *const changes[] = { "title", "comment", "status",
					       "merge" };
	struct strbuf route = STRBUF_INIT;
	size_t i;
	bool yes = true;

	if (hub_route(rq, "GET", D "/discussions")) {
		if (hf_dataset(rq, d, "main"))
			list_discussions(rq, d);
		return true;
	}
	if (hub_route(rq, "GET", D "/discussions/*")) {
		if (hf_dataset(rq, d, "main"))
			discussion(rq, d, rq->part[2], NULL);
		return true;
	}
	if (hub_route(rq, "POST", D "/discussions/*/comment/*/edit")) {
		if (hub_user(rq) && hf_dataset(rq, d, "main"))
			discussion(rq, d, rq->part[2], rq->part[3]);
		return true;
	}
	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		strbuf_reset(&route);
		strbuf_addf(&route, "%s/discussions/*/%s", D, changes[i]);
		if (hub_route(rq, "POST", route.buf))
			break;
	}
	strbuf_release(&route);
	yes = i < ARRAY_SIZE(changes);
	if (yes && hub_user(rq) && hf_dataset(rq, d, "main"))
		discussion(rq, d, rq->part[2], changes[i]);
	return yes;
}
