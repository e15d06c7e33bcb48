#include "pr.h"
#include "model.h"
#include "outfile.h"

bool pr_is(const json_t *k, const char *key, const char *word)
{
	const char *s = json_get_str(k, key);

	return s && !strcmp(s, word);
}

json_t *pr_artefact(const struct pr *p, const char *name, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	json_t *j = NULL;

	strbuf_addf(&path, "%s/%s", p->run, name);
	if (!access(path.buf, F_OK))
		j = json_load_path(path.buf, JSON_MAX_CONFIG, err);
	strbuf_release(&path);
	return j;
}

static json_t *need(const struct pr *p, const char *name, struct strbuf *err)
{
	json_t *j = pr_artefact(p, name, err);

	if (!j && !err->len)
		strbuf_addf(err, "%s/%s is missing; make writes it", p->run,
			    name);
	return j;
}

int pr_open(struct pr *p, struct strbuf *err)
{
	json_t *serving = need(p, "serving.json", err), *all;

	p->items = json_array();
	p->list = (struct strbuf)STRBUF_INIT;
	p->repos = serving ? json_load_path(p->repos_path, JSON_MAX_CONFIG,
					    err) : NULL;
	all = p->repos ? need(p, "kernels.json", err) : NULL;
	/* a deferred model has no config, and no kernels */
	p->config = all ? pr_artefact(p, "config.json", err) : NULL;
	p->sessions = all ? pr_artefact(p, "sessions.json", err) : NULL;
	p->definitions = all ? pr_artefact(p, "definitions.json", err) : NULL;
	if (err->len)
		return -1;
	p->kernels = json_need_array(all, "kernels", "kernels.json", err);
	p->slug = json_need_str(serving, "model_slug", "serving.json", err);
	if (!p->kernels || !p->slug)
		return -1;
	p->hub_id = json_get_str(serving, "hf_repo_id");
	p->display = p->hub_id && strchr(p->hub_id, '/') ?
		strchr(p->hub_id, '/') + 1 : p->slug;
	p->hub_id = p->hub_id ? p->hub_id : "not known";
	return 0;
}

void pr_close(struct pr *p)
{
	json_decref(p->items);
	strbuf_release(&p->list);
}

int pr_put(struct pr *p, const char *name, const char *file,
	   const struct strbuf *text, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	int ret;

	strbuf_addf(&path, "%s/%s/%s", p->outbox, name, file);
	ret = outfile_write(path.buf, text->buf, text->len, err);
	strbuf_addf(&p->list, "%s\n", path.buf);
	strbuf_release(&path);
	return ret;
}

char *pr_url(const struct pr *p, const char *name, const char *kind)
{
	struct strbuf path = STRBUF_INIT, sb = STRBUF_INIT_MAX(4096);
	struct strbuf no = STRBUF_INIT;
	char *url = NULL;

	strbuf_addf(&path, "%s/%s.%s", p->urls, name, kind);
	if (!strbuf_read_file(&sb, path.buf, &no)) {
		strbuf_rtrim(&sb);
		url = sb.len ? strbuf_detach(&sb) : NULL;
	}
	strbuf_release(&path);
	strbuf_release(&sb);
	strbuf_release(&no);
	return url;
}

const char *pr_id(const struct pr *p, const char *repo)
{
	const char *id = json_get_str(json_object_get(p->repos, repo), "id");

	return id ? id : "not known";
}

void pr_marker(struct strbuf *sb, const struct pr *p, const char *kind,
	       const char *key)
{
	strbuf_addf(sb, "<!-- onboard: %s %s for %s -->", kind, key, p->slug);
}

void pr_link(struct strbuf *text, const char *url)
{
	struct strbuf out = STRBUF_INIT;
	const char *at, *from = text->buf;

	if (!url)
		return;
	while ((at = strstr(from, PR_LINK))) {
		strbuf_add(&out, from, (size_t)(at - from));
		strbuf_addstr(&out, url);
		from = at + strlen(PR_LINK);
	}
	strbuf_addstr(&out, from);
	strbuf_release(text);
	*text = out;
}

/* The published homes; a clone may come from a mirror. */
const char *pr_home(const char *repo)
{
	static const char *const homes[][2] = {
		{ "sglang", "sgl-project/sglang" },
		{ "flashinfer", "flashinfer-ai/flashinfer" },
		{ "flashinfer_bench", "flashinfer-ai/flashinfer-bench" },
		{ "flashinfer_trace", "flashinfer-ai/flashinfer-trace" } };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(homes); i++)
		if (!strcmp(homes[i][0], repo))
			return homes[i][1];
	BUG("no repository %s", repo);
}

json_t *pr_item(struct pr *p, const char *kind, const char *key,
		const char *name, const char *repo)
{
	struct strbuf marker = STRBUF_INIT, folder = STRBUF_INIT;
	json_t *it;
	size_t i;

	json_array_foreach(p->items, i, it)
		if (pr_is(it, "kind", kind) && pr_is(it, "key", key)) {
			json_array_add(json_object_get(it, "names"), name);
			return it;
		}
	pr_marker(&marker, p, kind, key);
	strbuf_addf(&folder, "%s/%s/%s", p->outbox, name, kind);
	it = json_pack("{s:s, s:s, s:[s], s:s, s:s, s:s, s:[]}", "kind", kind,
		       "key", key, "names", name, "folder", folder.buf,
		       "repo", pr_home(repo), "marker", marker.buf, "checks");
	json_array_append_new(p->items, it);
	strbuf_release(&marker);
	strbuf_release(&folder);
	return it;
}

void pr_check(json_t *checks, const char *item, int ok, const char *mend,
	      const char *fmt, ...)
{
	struct strbuf sb = STRBUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(&sb, fmt, ap);
	va_end(ap);
	json_array_append_new(checks, json_pack("{s:s, s:o, s:s, s:s?}",
		"item", item, "ok", ok == PR_NONE ? json_null() :
		json_boolean(ok), "reason", sb.buf, "mend",
		ok ? NULL : mend));
	strbuf_release(&sb);
}

bool pr_all_ok(const json_t *checks)
{
	json_t *c;
	size_t i;

	json_array_foreach((json_t *)checks, i, c)
		if (json_is_false(json_object_get(c, "ok")))
			return false;
	return true;
}
