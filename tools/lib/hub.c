#include "hub.h"
#include "base64.h"
#include "model.h"

#define TRIES 4		/* of finding and opening, while it is unsure */
#define PAGES 20	/* of the list of our pull requests */

void hub_init(struct hub *h, const char *repo)
{
	struct strbuf url = STRBUF_INIT;

	*h = (struct hub){ .repo = repo, .token = model_hub_token(),
			   .h = http_open() };
	strbuf_addstr(&url, model_hub_endpoint());
	while (url.len && url.buf[url.len - 1] == '/')
		url.buf[--url.len] = '\0';
	h->endpoint = strbuf_detach(&url);
}

void hub_copy(struct hub *h, const struct hub *from)
{
	*h = (struct hub){ .repo = from->repo, .h = http_open(),
		.endpoint = xstrdup(from->endpoint),
		.token = from->token ? xstrdup(from->token) : NULL,
		.user = from->user ? xstrdup(from->user) : NULL,
		.ours = json_incref(from->ours) };
}

void hub_release(struct hub *h)
{
	free(h->endpoint);
	free(h->token);
	free(h->user);
	json_decref(h->ours);
	http_close(h->h);
}

void hub_pull_release(struct hub_pull *p)
{
	size_t i;

	for (i = 0; i < p->n; i++) {
		free(p->file[i].path);
		free(p->file[i].local);
	}
	free(p->file);
	free(p->url);
	*p = (struct hub_pull){ .title = NULL };
}

/* ---- one request ---- */

int hub_fail(struct hub *h, const struct hub_answer *a, const char *path,
	     struct strbuf *err)
{
	const char *said = json_get_str(a->json, "error");

	h->code = a->status == 409 || a->status == 429 || a->status >= 500 ?
		EX_AGAIN : EX_REFUSED;
	if (a->status == 401)
		strbuf_addstr(err, "the Hub does not know the token; run `hf"
			      " auth login` or set HF_TOKEN");
	else if (a->status == 413)
		strbuf_addf(err, "the Hub takes no file of this size (413 to"
			    " %s)", path);
	else if (a->status == 429)
		strbuf_addstr(err, "the Hub's rate limit is used up; run it"
			      " again later");
	else
		strbuf_addf(err, "the Hub answers %ld to %s: %s", a->status,
			    path, said ? said : "no reason given");
	return -1;
}

static int exchange(struct hub *h, struct hub_answer *a,
		    struct http_call *k, const char *path,
		    struct strbuf *err)
{
	struct strbuf url = STRBUF_INIT, out = STRBUF_INIT, no = STRBUF_INIT;
	int ret;

	*a = (struct hub_answer){ .json = NULL };
	strbuf_addf(&url, "%s%s", h->endpoint, path);
	k->url = url.buf;
	k->token = h->token;
	k->max = (size_t)64 << 20;
	ret = http_do(h->h, k, &out, err);
	h->code = EX_AGAIN;
	a->status = k->status;
	a->unsure = k->unsure;
	if (!ret)
		a->json = json_parse(out.buf, out.len, "the answer", &no);
	if (!ret && k->later > HTTP_PATIENCE) {
		strbuf_addf(err, "the Hub asks to wait %ld s; run it again"
			    " then", k->later);
		ret = -1;
	} else if (!ret && !a->json && k->status < 300) {
		strbuf_addf(err, "the Hub's answer to %s is no JSON", path);
		a->unsure = true;
		ret = -1;
	}
	strbuf_release(&url);
	strbuf_release(&out);
	strbuf_release(&no);
	return ret;
}

int hub_ask(struct hub *h, struct hub_answer *a, const char *method,
	    const char *path, json_t *body, bool repeat, struct strbuf *err)
{
	static const char *const headers[] = {
		"Content-Type: application/json", NULL };
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct http_call k = { .method = method, .headers = headers,
		.body = text, .body_len = text ? strlen(text) : 0,
		.repeat = repeat };
	int ret = exchange(h, a, &k, path, err);

	json_decref(body);
	free(text);
	return ret;
}

/* An answer of 200, or NULL with a sentence. */
static json_t *need(struct hub *h, const char *method, const char *path,
		    json_t *body, struct strbuf *err)
{
	struct hub_answer a;

	if (hub_ask(h, &a, method, path, body, true, err))
		return NULL;
	if (a.status == 200)
		return a.json;
	hub_fail(h, &a, path, err);
	json_decref(a.json);
	return NULL;
}

int hub_user(struct hub *h, struct strbuf *err)
{
	json_t *j = need(h, "GET", "/api/whoami-v2", NULL, err);
	const char *name = json_get_str(j, "name");

	if (j && !name)
		strbuf_addstr(err, "the Hub does not tell whose token it is");
	if (name) {
		free(h->user);
		h->user = xstrdup(name);
	}
	json_decref(j);
	return name ? 0 : -1;
}

/* ---- finding ---- */

struct found {
	long number;
	char *status, *title, *comment, *body;	/* comment: its id */
};

static void found_release(struct found *f)
{
	free(f->status);
	free(f->title);
	free(f->comment);
	free(f->body);
	*f = (struct found){ .number = 0 };
}

static char *text_of(const json_t *o, const char *key)
{
	const char *s = json_get_str(o, key);

	return xstrdup(s ? s : "");
}

/* The details of one; its first comment is the pull request's text. */
static int look_at(struct hub *h, long number, struct found *f,
		   struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	json_t *j, *e = NULL, *v;
	size_t i;

	strbuf_addf(&path, "/api/datasets/%s/discussions/%ld", h->repo,
		    number);
	j = need(h, "GET", path.buf, NULL, err);
	strbuf_release(&path);
	if (!j)
		return -1;
	json_array_foreach(json_object_get(j, "events"), i, v)
		if (!e && json_get_str(v, "type") &&
		    !strcmp(json_get_str(v, "type"), "comment"))
			e = v;
	f->number = number;
	f->status = text_of(j, "status");
	f->title = text_of(j, "title");
	f->comment = text_of(e, "id");
	f->body = text_of(json_object_get(json_object_get(e, "data"),
					  "latest"), "raw");
	json_decref(j);
	return 0;
}

char *hub_body(struct hub *h, long number, struct strbuf *err)
{
	struct found f = { .number = 0 };
	char *body = NULL;

	if (!look_at(h, number, &f, err))
		body = xstrdup(f.body);
	found_release(&f);
	return body;
}

int hub_list(struct hub *h, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	size_t seen = 0, total = 1, i;
	json_t *j, *v, *list, *all = json_array();
	int page;

	for (page = 0; page < PAGES && seen < total; page++) {
		strbuf_reset(&path);
		strbuf_addf(&path, "/api/datasets/%s/discussions?p=%d&type="
			    "pull_request&status=all&author=%s", h->repo, page,
			    h->user);
		j = need(h, "GET", path.buf, NULL, err);
		list = json_object_get(j, "discussions");
		if (j && !json_is_array(list))
			strbuf_addstr(err, "the Hub's list of pull requests"
				      " cannot be read");
		if (!json_is_array(list)) {
			json_decref(j);
			json_decref(all);
			strbuf_release(&path);
			return -1;
		}
		total = (size_t)json_integer_value(json_object_get(j,
								"count"));
		seen += json_array_size(list);
		if (!json_array_size(list))
			seen = total;
		json_array_foreach(list, i, v)
			json_array_append_new(all, json_pack("{s:O, s:O}",
				"num", json_object_get(v, "num"), "title",
				json_object_get(v, "title")));
		json_decref(j);
	}
	strbuf_release(&path);
	json_decref(h->ours);
	h->ours = all;
	return 0;
}

/* Ours with this marker; the open one, else the newest. number 0: none. */
static int find(struct hub *h, const struct hub_pull *p, struct found *f,
		struct strbuf *err)
{
	json_t *v;
	size_t i;

	if (!h->ours && hub_list(h, err))
		return -1;
	json_array_foreach(h->ours, i, v) {
		const char *title = json_get_str(v, "title");
		struct found one = { .number = 0 };

		if (!title || strcmp(title, p->title))
			continue;
		if (look_at(h, (long)json_integer_value(json_object_get(v,
						"num")), &one, err))
			return -1;
		if (strstr(one.body, p->marker) && (!f->number ||
		    (strcmp(f->status, "open") &&
		     !strcmp(one.status, "open")))) {
			found_release(f);
			*f = one;
		} else {
			found_release(&one);
		}
	}
	return 0;
}

/* ---- committing ---- */

static int add_line(struct strbuf *sb, const struct hub_file *f,
		    struct strbuf *err)
{
	struct strbuf data = STRBUF_INIT, text = STRBUF_INIT;
	json_t *o;
	char *line;

	if (f->lfs) {
		o = json_pack("{s:s, s:{s:s, s:s, s:s, s:I}}", "key",
			      "lfsFile", "value", "path", f->path, "algo",
			      "sha256", "oid", f->oid, "size",
			      (json_int_t)f->size);
	} else {
		if (strbuf_read_file(&data, f->local, err))
			return -1;
		base64_encode(&text, data.buf, data.len);
		o = json_pack("{s:s, s:{s:s, s:s, s:s}}", "key", "file",
			      "value", "content", text.buf, "path", f->path,
			      "encoding", "base64");
	}
	line = json_dumps(o, JSON_COMPACT);
	strbuf_addf(sb, "%s\n", line);
	free(line);
	json_decref(o);
	strbuf_release(&data);
	strbuf_release(&text);
	return 0;
}

/* create: opens the pull request. 1: unsure whether it was done. */
static int commit(struct hub *h, struct hub_pull *p, const char *rev,
		  bool create, struct strbuf *err)
{
	static const char *const headers[] = {
		"Content-Type: application/x-ndjson", NULL };
	struct strbuf body = STRBUF_INIT, path = STRBUF_INIT;
	struct http_call k = { .method = "POST", .headers = headers };
	struct hub_answer a = { .json = NULL };
	const char *url;
	json_t *o;
	char *line;
	size_t i;
	int ret = 0;

	o = json_pack("{s:s, s:{s:s, s:s}}", "key", "header", "value",
		      "summary", p->title, "description", create ? p->body :
		      "");
	line = json_dumps(o, JSON_COMPACT);
	strbuf_addf(&body, "%s\n", line);
	free(line);
	json_decref(o);
	p->sent = 0;
	for (i = 0; i < p->n && !ret; i++) {
		if (p->file[i].same)
			continue;
		p->sent++;
		ret = add_line(&body, &p->file[i], err);
	}
	strbuf_addf(&path, "/api/datasets/%s/commit/%s%s", h->repo, rev,
		    create ? "?create_pr=1" : "");
	k.body = body.buf;
	k.body_len = body.len;
	h->code = EX_REFUSED;
	if (!ret)
		ret = exchange(h, &a, &k, path.buf, err);
	url = json_get_str(a.json, "pullRequestUrl");
	if (!ret && a.status != 200) {
		ret = hub_fail(h, &a, path.buf, err);
	} else if (!ret && create && (!url || !strrchr(url, '/'))) {
		strbuf_addf(err, "the Hub's answer to %s names no pull"
			    " request", path.buf);
		h->code = EX_AGAIN;
		a.unsure = true;
		ret = -1;
	}
	if (!ret && create) {
		free(p->url);
		p->url = xstrdup(url);
		p->number = strtol(strrchr(url, '/') + 1, NULL, 10);
		p->is_new = true;
	}
	p->changed |= !ret;
	if (ret && a.unsure)
		ret = 1;
	json_decref(a.json);
	strbuf_release(&body);
	strbuf_release(&path);
	return ret;
}

/* Title and first comment as wanted. */
static int edit(struct hub *h, struct hub_pull *p, const struct found *f,
		struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	json_t *j;
	int ret = 0;

	if (strcmp(f->body, p->body)) {
		strbuf_addf(&path, "/api/datasets/%s/discussions/%ld/comment/"
			    "%s/edit", h->repo, f->number, f->comment);
		j = need(h, "POST", path.buf, json_pack("{s:s}", "content",
							p->body), err);
		ret = j ? 0 : -1;
		p->changed |= !ret;
		json_decref(j);
	}
	strbuf_release(&path);
	return ret;
}

static bool all_same(const struct hub_pull *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (!p->file[i].same)
			return false;
	return true;
}

/* 1: look again. */
static int publish_once(struct hub *h, struct hub_pull *p, struct strbuf *err)
{
	struct strbuf rev = STRBUF_INIT, url = STRBUF_INIT;
	struct found f = { .number = 0 };
	int ret = find(h, p, &f, err);

	if (ret)
		goto out;
	if (f.number) {
		strbuf_addf(&url, "%s/datasets/%s/discussions/%ld",
			    h->endpoint, h->repo, f.number);
		free(p->url);
		p->url = xstrdup(url.buf);
		p->number = f.number;
		p->merged = !strcmp(f.status, "merged");
		p->closed = strcmp(f.status, "open") &&
			strcmp(f.status, "draft");
		if (p->closed)
			goto out;
		strbuf_addf(&rev, "refs%%2Fpr%%2F%ld", f.number);
	} else {
		strbuf_addstr(&rev, "main");
	}
	ret = hub_compare(h, p, rev.buf, err);
	if (!ret && !f.number && all_same(p)) {
		strbuf_addf(err, "%s has all of this already; there is"
			    " nothing to open a pull request for", h->repo);
		h->code = EX_REFUSED;
		ret = -1;
	}
	if (!ret && !all_same(p)) {
		ret = hub_upload(h, p, err);
		if (!ret)
			ret = commit(h, p, rev.buf, !f.number, err);
	}
	if (!ret && f.number)
		ret = edit(h, p, &f, err);
out:
	found_release(&f);
	strbuf_release(&rev);
	strbuf_release(&url);
	return ret;
}

int hub_publish(struct hub *h, struct hub_pull *p, struct strbuf *err)
{
	struct strbuf why = STRBUF_INIT;
	int i, ret = -1;

	for (i = 0; i < TRIES; i++) {
		strbuf_reset(&why);
		ret = publish_once(h, p, &why);
		if (ret <= 0)
			break;
		/* it may have been opened: the list is asked for anew */
		json_decref(h->ours);
		h->ours = NULL;
	}
	if (ret)
		strbuf_addstr(err, why.buf);
	strbuf_release(&why);
	return ret ? -1 : 0;
}
