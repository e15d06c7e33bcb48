#include "pr.h"
#include "github.h"
#include "hub.h"
#include "outfile.h"
#include "pr_files.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>

/* A thread's servers. */
struct servers {
	struct github g;
	struct hub h;
};

struct work {
	struct pr *p;
	struct pr_send *s;
	struct servers *proto;
	json_t *units;			/* [[item...] of one definition] */
	atomic_size_t next, done;
	pthread_mutex_t lock;
};

static void set(json_t *it, const char *key, const char *text)
{
	json_object_set_new(it, key, text ? json_string(text) : json_null());
}

static void by_hand(struct work *w, const json_t *it)
{
	struct strbuf sb = STRBUF_INIT;

	pr_by_hand(it, &sb);
	pthread_mutex_lock(&w->lock);
	w->s->say(sb.buf);
	pthread_mutex_unlock(&w->lock);
	strbuf_release(&sb);
}

/* ---- one item ---- */

static bool is_github(const json_t *it)
{
	return !pr_is(it, "kind", "dataset");
}

/* The first check that failed, or NULL. */
static const char *held_by(const json_t *it)
{
	static const char *const none = "";
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(it, "checks"), i, c)
		if (json_is_false(json_object_get(c, "ok")))
			return json_get_str(c, "reason") ? json_get_str(c,
				"reason") : none;
	return NULL;
}

static json_t *labels_of(const json_t *it)
{
	struct strbuf text = STRBUF_INIT, no = STRBUF_INIT;
	json_t *labels = json_array();
	char *one, *save = NULL;

	if (pr_text(&text, it, "LABELS", &no)) {
		strbuf_rtrim(&text);
		for (one = strtok_r(text.buf, ",", &save); one;
		     one = strtok_r(NULL, ",", &save))
			json_array_append_new(labels, json_string(one));
	}
	strbuf_release(&text);
	strbuf_release(&no);
	return labels;
}

/* All files of a folder, but those that describe it: [path below it]. */
static void list_files(json_t *out, const char *root, const char *rel)
{
	struct strbuf path = STRBUF_INIT;
	struct dirent **v = NULL;
	int n, i;

	strbuf_addf(&path, "%s/%s", root, rel);
	n = scandir(path.buf, &v, dir_visible, dir_by_name);
	for (i = 0; i < n; i++) {
		strbuf_reset(&path);
		strbuf_addf(&path, "%s%s%s", rel, *rel ? "/" : "",
			    v[i]->d_name);
		if (v[i]->d_type == DT_DIR)
			list_files(out, root, path.buf);
		else if (*rel)	/* at the top: TITLE, BODY.md */
			json_array_append_new(out, json_string(path.buf));
		free(v[i]);
	}
	free(v);
	strbuf_release(&path);
}

static int send_dataset(struct servers *sv, json_t *it, const char *title,
			const char *body, struct strbuf *err)
{
	json_t *files = json_array(), *f;
	struct hub_pull pull = { .title = title, .body = body,
		.marker = json_get_str(it, "marker") };
	struct strbuf path = STRBUF_INIT;
	size_t i;
	int ret;

	list_files(files, json_get_str(it, "folder"), "");
	pull.file = xcalloc(json_array_size(files) + 1, sizeof(*pull.file));
	json_array_foreach(files, i, f) {
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/%s", json_get_str(it, "folder"),
			    json_string_value(f));
		pull.file[pull.n].path = xstrdup(json_string_value(f));
		pull.file[pull.n++].local = xstrdup(path.buf);
	}
	sv->h.repo = json_get_str(it, "repo");
	ret = hub_publish(&sv->h, &pull, err);
	set(it, "url", pull.url);
	set(it, "status", pull.merged ? "merged" : pull.closed ? "closed" :
	    pull.is_new ? "opened" : pull.changed ? "updated" : "unchanged");
	json_decref(files);
	hub_pull_release(&pull);
	strbuf_release(&path);
	return ret ? sv->h.code : 0;
}

static int push(struct servers *sv, const struct pr *p, json_t *it,
		char **head, struct strbuf *err)
{
	const char *repo = pr_is(it, "kind", "sglang") ? "sglang" :
		"flashinfer_bench", *dir = json_get_str(it, "folder");
	const json_t *r = json_object_get(p->repos, repo);
	struct github_commit c = { .repo = json_get_str(it, "repo"),
		.branch = json_get_str(it, "branch"),
		.parent = pr_is(r, "kind", "git") ? json_get_str(r, "id") :
			NULL };
	struct strbuf message = STRBUF_INIT, data[ARRAY_SIZE(c.file)];
	json_t *files = json_array(), *f;
	size_t i;
	int ret = -1;

	list_files(files, dir, "");
	sv->g.code = EX_REFUSED;
	if (!pr_text(&message, it, "COMMIT", err))
		goto out;
	if (json_array_size(files) > ARRAY_SIZE(c.file) ||
	    !json_array_size(files)) {
		strbuf_addf(err, "%s has %zu files", dir,
			    json_array_size(files));
		goto out;
	}
	c.message = message.buf;
	json_array_foreach(files, i, f) {
		data[i] = (struct strbuf)STRBUF_INIT;
		c.file[i].path = json_string_value(f);
		if (!pr_text(&data[i], it, c.file[i].path, err))
			break;
		c.file[i].data = data[i].buf;
		c.file[i].len = data[i].len;
		c.n++;
	}
	if (c.n == json_array_size(files))
		ret = github_push(&sv->g, &c, err);
	for (i = 0; i < c.n; i++)
		strbuf_release(&data[i]);
	if (!ret) {
		*head = xstrdup(c.head);
		set(it, "pushed", c.changed ? "a commit" : NULL);
	}
out:
	github_commit_release(&c);
	json_decref(files);
	strbuf_release(&message);
	return ret;
}

static int send_github(struct servers *sv, const struct pr *p, json_t *it,
		       const char *title, const char *body,
		       struct strbuf *err)
{
	bool pull = json_get_str(it, "branch") != NULL;
	json_t *labels = labels_of(it);
	struct github_item item = { .repo = json_get_str(it, "repo"),
		.title = title, .body = body, .labels = labels,
		.marker = json_get_str(it, "marker"),
		.branch = json_get_str(it, "branch"),
		.draft = json_is_true(json_object_get(it, "draft")) };
	char *head = NULL;
	int ret = 0;

	if (pull) {
		ret = push(sv, p, it, &head, err);
		item.head = head;
	}
	if (!ret)
		ret = pull ? github_pull(&sv->g, &item, err)
			   : github_issue(&sv->g, &item, err);
	if (!ret) {
		set(it, "url", item.url);
		json_object_set_new(it, "merged", json_boolean(item.merged));
		set(it, "status", item.merged ? "merged" : item.closed ?
		    "closed" : item.foreign ? "not ours, left as it is" :
		    item.is_new ? "opened" : item.changed ||
		    json_get_str(it, "pushed") ? "updated" : "unchanged");
	}
	json_object_del(it, "pushed");
	json_decref(labels);
	free(head);
	github_item_release(&item);
	return ret ? sv->g.code : 0;
}

/* URLS/NAME.KIND of all names that share the item. */
static int record(const struct pr *p, const json_t *it, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT, line = STRBUF_INIT;
	const char *url = json_get_str(it, "url");
	json_t *v;
	size_t i;
	int ret = 0;

	strbuf_addf(&line, "%s\n", url ? url : "");
	json_array_foreach(json_object_get(it, "names"), i, v) {
		char *had = pr_url(p, json_string_value(v),
				   json_get_str(it, "kind"));

		strbuf_reset(&path);
		strbuf_addf(&path, "%s/%s.%s", p->urls, json_string_value(v),
			    json_get_str(it, "kind"));
		/* its time makes what names it: touch nothing that is right */
		if (url && (!had || strcmp(had, url)))
			ret |= outfile_write(path.buf, line.buf, line.len,
					     err);
		free(had);
	}
	strbuf_release(&path);
	strbuf_release(&line);
	return ret;
}

/* What became of a pull that was sent before, asked without a token. */
static void ask_state(struct work *w, struct servers *sv, json_t *it)
{
	struct github_item item = { .repo = json_get_str(it, "repo"),
		.title = json_get_str(it, "key") };
	char *url = pr_url(w->p, json_string_value(json_array_get(
		json_object_get(it, "names"), 0)), json_get_str(it, "kind"));
	struct strbuf no = STRBUF_INIT;
	long n = url ? strtol(strrchr(url, '/') ? strrchr(url, '/') + 1 : "",
			      NULL, 10) : 0;

	if (n > 0 && pr_is(it, "kind", "sglang") &&
	    !github_pull_state(&sv->g, &item, n, &no)) {
		set(it, "url", item.url);
		json_object_set_new(it, "merged", json_boolean(item.merged));
	}
	github_item_release(&item);
	free(url);
	strbuf_release(&no);
}

/* waits: the dataset's item, which has to be sent before; or NULL. */
static void send_item(struct work *w, struct servers *sv, json_t *it,
		      const json_t *waits)
{
	struct strbuf title = STRBUF_INIT, body = STRBUF_INIT;
	struct strbuf err = STRBUF_INIT;
	const char *why = held_by(it);
	int code = EX_REFUSED;

	if (!why && waits && pr_is(waits, "status", "held"))
		why = "its dataset pull request is held";
	if (why) {
		set(it, "status", "held");
		set(it, "reason", why);
	} else if (!w->s->wanted) {
		set(it, "status", "not sent (SUBMIT_PRS=0)");
		ask_state(w, sv, it);
	} else if (is_github(it) ? !sv->g.token : !sv->h.token) {
		set(it, "status", "not sent (no credentials)");
		ask_state(w, sv, it);
		by_hand(w, it);
	} else if (!pr_text(&title, it, "TITLE", &err) ||
		   !pr_text(&body, it, "BODY.md", &err)) {
		set(it, "status", "failed");
		set(it, "reason", err.buf);
	} else if (strstr(body.buf, PR_LINK) && pr_is(it, "kind", "coverage")) {
		set(it, "status", "held");
		set(it, "reason", "the dataset pull request that it links is"
		    " not open");
	} else {
		strbuf_rtrim(&title);
		code = is_github(it) ? send_github(sv, w->p, it, title.buf,
						   body.buf, &err)
				     : send_dataset(sv, it, title.buf,
						    body.buf, &err);
		if (!code && record(w->p, it, &err))
			code = EX_AGAIN;
		if (code) {
			set(it, "status", "failed");
			set(it, "reason", err.buf);
		}
	}
	pthread_mutex_lock(&w->lock);
	if (pr_is(it, "status", "failed")) {
		w->s->failed++;
		if (!w->s->why[0])
			snprintf(w->s->why, sizeof(w->s->why), "%s of %s: %s",
				 json_get_str(it, "kind"), json_get_str(it,
				 "key"), err.buf);
		if (!w->s->code || code == EX_AGAIN)
			w->s->code = code;
	} else if (pr_is(it, "status", "held")) {
		w->s->held++;
	} else if (pr_is(it, "status", "opened") ||
		   pr_is(it, "status", "updated")) {
		w->s->sent++;
	} else {
		w->s->unchanged++;
	}
	pthread_mutex_unlock(&w->lock);
	strbuf_release(&title);
	strbuf_release(&body);
	strbuf_release(&err);
}

/* Puts the dataset's URL where the texts wait for it. */
static void put_link(const json_t *it, const char *url)
{
	static const char *const files[] = { "BODY.md", "COMMIT" };
	struct strbuf text = STRBUF_INIT, path = STRBUF_INIT, no = STRBUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		if (!pr_text(&text, it, files[i], &no) ||
		    !strstr(text.buf, PR_LINK))
			continue;
		pr_link(&text, url);
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/%s", json_get_str(it, "folder"),
			    files[i]);
		outfile_write(path.buf, text.buf, text.len, &no);
	}
	strbuf_release(&text);
	strbuf_release(&path);
	strbuf_release(&no);
}

/* ---- side by side ---- */

static void *worker(void *data)
{
	struct work *w = data;
	struct servers sv;
	json_t *unit, *it;
	size_t i, k;

	github_copy(&sv.g, &w->proto->g);
	hub_copy(&sv.h, &w->proto->h);
	while ((i = atomic_fetch_add(&w->next, 1)) < json_array_size(
							w->units)) {
		const char *url = NULL;
		const json_t *dataset = NULL;

		unit = json_array_get(w->units, i);
		json_array_foreach(unit, k, it) {
			if (url)
				put_link(it, url);
			send_item(w, &sv, it, pr_is(it, "kind", "coverage") ?
				  dataset : NULL);
			if (pr_is(it, "kind", "dataset")) {
				url = json_get_str(it, "url");
				dataset = it;
			}
		}
		if (w->s->step) {
			pthread_mutex_lock(&w->lock);
			w->s->step(atomic_fetch_add(&w->done, 1) + 1,
				   json_array_size(w->units));
			pthread_mutex_unlock(&w->lock);
		}
	}
	github_release(&sv.g);
	hub_release(&sv.h);
	return NULL;
}

/* The items of each definition, in the order in which they are sent. */
static json_t *units_of(const struct pr *p)
{
	static const char *const order[] = { "dataset", "coverage", "issue",
		"trace-template", "sglang" };
	json_t *by = json_object(), *units = json_array(), *it, *u;
	size_t i, k;

	for (k = 0; k < ARRAY_SIZE(order); k++)
		json_array_foreach(p->items, i, it) {
			const char *name = json_string_value(json_array_get(
					json_object_get(it, "names"), 0));

			if (!pr_is(it, "kind", order[k]))
				continue;
			u = json_object_get(by, name);
			if (!u) {
				u = json_array();
				json_object_set_new(by, name, u);
				json_array_append(units, u);
			}
			json_array_append(u, it);
		}
	json_decref(by);
	return units;
}

/* Whose tokens these are; a server that does not tell is not spoken to. */
static void log_in(struct work *w, bool github, bool hub)
{
	struct strbuf err = STRBUF_INIT;
	struct servers *sv = w->proto;

	if (github && sv->g.token && github_user(&sv->g, &err))
		w->s->code = sv->g.code;
	else if (hub && sv->h.token && (hub_user(&sv->h, &err) ||
					hub_list(&sv->h, &err)))
		w->s->code = sv->h.code;
	if (w->s->code)
		snprintf(w->s->why, sizeof(w->s->why), "%s", err.buf);
	strbuf_release(&err);
}

/* Which servers the items that can be sent are for. */
static void servers_of(const struct pr *p, bool *github, bool *hub)
{
	json_t *it;
	size_t i;

	*github = *hub = false;
	json_array_foreach(p->items, i, it)
		if (!held_by(it))
			*(is_github(it) ? github : hub) = true;
}

void pr_send(struct pr *p, struct pr_send *s)
{
	pthread_t thread[16];
	struct servers proto;
	struct work w = { .p = p, .s = s, .proto = &proto,
		.units = units_of(p), .lock = PTHREAD_MUTEX_INITIALIZER };
	bool github, hub;
	size_t n = 0, i;
	json_t *it;

	s->code = 0;
	s->why[0] = '\0';
	s->sent = s->unchanged = s->held = s->failed = 0;
	github_init(&proto.g);
	hub_init(&proto.h, pr_home("flashinfer_trace"));
	servers_of(p, &github, &hub);
	if (s->wanted)
		log_in(&w, github, hub);
	if (s->code) {
		json_array_foreach(p->items, i, it) {
			set(it, "status", "failed");
			set(it, "reason", s->why);
			s->failed++;
		}
	} else {
		json_object_seed(0);
		while (n + 1 < (size_t)s->jobs && n < ARRAY_SIZE(thread) &&
		       n + 1 < json_array_size(w.units) &&
		       !pthread_create(&thread[n], NULL, worker, &w))
			n++;
		worker(&w);
		while (n > 0)
			pthread_join(thread[--n], NULL);
	}
	github_release(&proto.g);
	hub_release(&proto.h);
	json_decref(w.units);
}
