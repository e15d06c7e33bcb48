#include "index.h"
#include "pytree.h"

/* ---- FlashInfer ---- */

static bool is_public(const char *path)
{
	return path[0] != '_' && !strstr(path, "._");
}

static size_t parts(const char *path)
{
	size_t n = 1;

	while ((path = strchr(path, '.'))) {
		path++;
		n++;
	}
	return n;
}

/*
 * Users import from a module of the package: "flashinfer.norm.rmsnorm",
 * three parts, before the short form and before deeper ones; of equals where
 * it is defined, then a package's __init__, then any module that has it.
 */
static long rank(const struct pytree *t, const char *path, const char *def)
{
	struct strbuf mod = STRBUF_INIT;
	size_t n = parts(path);
	const json_t *i;
	long r = n == 3 ? 0 : n == 2 ? 10 : (long)n * 10;

	strbuf_add(&mod, path, (size_t)(strrchr(path, '.') - path));
	i = json_object_get(t->modules, mod.buf);
	if (!strcmp(path, def))
		r += 0;
	else if (i && t->files[json_integer_value(i)].package)
		r += 1;
	else
		r += 2;
	strbuf_release(&mod);
	return r;
}

static void add_decorators(json_t *o, const struct pyscan *ps,
			   const struct py_def *d)
{
	struct strbuf sb = STRBUF_INIT;
	bool decorated = false;
	uint32_t i;

	for (i = 0; i < d->ndec; i++) {
		const struct py_decorator *x = &ps->decorators[d->dec + i];
		const char *last;

		strbuf_reset(&sb);
		pyscan_dotted(&sb, x->name);
		last = strrchr(sb.buf, '.');
		if (strcmp(last ? last + 1 : sb.buf, "flashinfer_api"))
			continue;
		decorated = true;
		json_object_set_new(o, "decorator_line",
				    json_integer(x->line));
		if (x->has_trace) {
			strbuf_reset(&sb);
			pyscan_dotted(&sb, x->trace);
			json_object_set_new(o, "trace", json_string(sb.buf));
		}
	}
	json_object_set_new(o, "decorated", json_boolean(decorated));
	if (!json_object_get(o, "trace"))
		json_object_set_new(o, "trace", json_null());
	strbuf_release(&sb);
}

static json_t *methods_of(const struct pyscan *ps, size_t cls)
{
	const char *name = ps->defs[cls].qualname;
	size_t n = strlen(name), i;
	json_t *all = json_object(), *sorted;

	for (i = cls + 1; i < ps->ndefs && ps->defs[i].depth; i++) {
		const struct py_def *d = &ps->defs[i];
		json_t *m;

		if (d->depth != 1 || d->kind == 'c' ||
		    strncmp(d->qualname, name, n) || d->qualname[n] != '.' ||
		    d->qualname[n + 1] == '_')
			continue;
		m = json_pack("{s:i}", "line", (int)d->line);
		add_decorators(m, ps, d);
		json_object_set_new(all, d->qualname + n + 1, m);
	}
	sorted = json_sorted_object(all);
	json_decref(all);
	return sorted;
}

/* Definitions by the path where they stand: path -> entry. */
static json_t *collect_apis(const struct pytree *t, const char *package)
{
	struct strbuf path = STRBUF_INIT;
	json_t *apis = json_object();
	size_t i, k;

	for (i = 0; i < t->nfiles; i++) {
		const struct py_file *f = &t->files[i];

		if (strncmp(f->module, package, strlen(package)))
			continue;
		for (k = 0; k < f->scan.ndefs; k++) {
			const struct py_def *d = &f->scan.defs[k];
			json_t *o;

			if (d->depth || d->qualname[0] == '_')
				continue;
			strbuf_reset(&path);
			strbuf_addf(&path, "%s.%s", f->module, d->qualname);
			o = json_pack("{s:s, s:s, s:i, s:[], s:[]}", "kind",
				d->kind == 'c' ? "class" : "function",
				"file", f->path, "line", (int)d->line,
				"paths", "tests");
			add_decorators(o, &f->scan, d);
			if (d->kind == 'c')
				json_object_set_new(o, "methods",
					methods_of(&f->scan, k));
			json_object_set_new(apis, path.buf, o);
		}
	}
	strbuf_release(&path);
	return apis;
}

static void add_path(const struct pytree *t, json_t *apis, const char *from)
{
	struct strbuf to = STRBUF_INIT;
	json_t *o;

	if (is_public(from) && pytree_resolve(t, from, &to) &&
	    (o = json_object_get(apis, to.buf)))
		json_array_append_new(json_object_get(o, "paths"),
				      json_string(from));
	strbuf_release(&to);
}

/* `from M import *` in f: every name that M defines or imports. */
static void add_star(const struct pytree *t, json_t *apis,
		     const struct py_file *f, const char *from)
{
	const json_t *i = json_object_get(t->modules, from);
	struct strbuf path = STRBUF_INIT;
	const struct py_file *m;
	const char *name;
	json_t *v;
	size_t k;

	if (!i)
		return;
	m = &t->files[json_integer_value(i)];
	for (k = 0; k < m->scan.ndefs; k++) {
		if (m->scan.defs[k].depth)
			continue;
		strbuf_reset(&path);
		strbuf_addf(&path, "%s.%s", f->module,
			    m->scan.defs[k].qualname);
		add_path(t, apis, path.buf);
	}
	json_object_foreach(m->names, name, v) {
		strbuf_reset(&path);
		strbuf_addf(&path, "%s.%s", f->module, name);
		if (name[0] != '*')
			add_path(t, apis, path.buf);
	}
	strbuf_release(&path);
}

static void add_paths(const struct pytree *t, json_t *apis,
		      const char *package)
{
	struct strbuf from = STRBUF_INIT;
	const char *name;
	json_t *v, *o;
	size_t i;

	json_object_foreach(apis, name, o)
		if (is_public(name))
			json_array_add(json_object_get(o, "paths"), name);
	for (i = 0; i < t->nfiles; i++) {
		const struct py_file *f = &t->files[i];

		if (strncmp(f->module, package, strlen(package)))
			continue;
		json_object_foreach(f->names, name, v) {
			if (name[0] == '*') {
				add_star(t, apis, f, json_string_value(v));
				continue;
			}
			strbuf_reset(&from);
			strbuf_addf(&from, "%s.%s", f->module, name);
			add_path(t, apis, from.buf);
		}
	}
	strbuf_release(&from);
}

/*
 * What a path means, however it goes on: "flashinfer.norm.rmsnorm.__name__"
 * is rmsnorm. NULL if no part of it is an API.
 */
static json_t *api_at(const struct pytree *t, json_t *apis, const char *path)
{
	struct strbuf p = STRBUF_INIT, to = STRBUF_INIT;
	json_t *o = NULL;
	char *dot;

	strbuf_addstr(&p, path);
	for (;;) {
		strbuf_reset(&to);
		if (pytree_resolve(t, p.buf, &to))
			o = json_object_get(apis, to.buf);
		dot = strrchr(p.buf, '.');
		if (o || !dot)
			break;
		p.len = (size_t)(dot - p.buf);
		*dot = '\0';
	}
	strbuf_release(&p);
	strbuf_release(&to);
	return o;
}

static void add_tests(const struct pytree *t, json_t *apis,
		      const char *package)
{
	struct strbuf path = STRBUF_INIT;
	size_t i, k, n = strlen(package);
	const char *name;
	json_t *v, *o;

	for (i = 0; i < t->nfiles; i++) {
		const struct py_file *f = &t->files[i];
		json_t *seen;

		if (strncmp(f->path, "tests/", 6))
			continue;
		seen = json_object();
		json_object_foreach(f->names, name, v)
			if (!strncmp(json_string_value(v), package, n) &&
			    (o = api_at(t, apis, json_string_value(v))))
				json_array_add(json_object_get(o, "tests"),
					       f->path);
		for (k = 0; k < f->scan.nchains; k++) {
			const struct py_chain *c = &f->scan.chains[k];

			if (c->unknown || !c->text.len)
				continue;
			strbuf_reset(&path);
			if (!pytree_meaning(f, c->text, &path) ||
			    strncmp(path.buf, package, n) ||
			    json_object_get(seen, path.buf))
				continue;
			json_object_set_new(seen, path.buf, json_true());
			o = api_at(t, apis, path.buf);
			if (o)
				json_array_add(json_object_get(o, "tests"),
					       f->path);
		}
		json_decref(seen);
	}
	strbuf_release(&path);
}

json_t *index_flashinfer(const char *dir, struct strbuf *err)
{
	struct pytree t = { .prefer = "flashinfer" };
	json_t *apis, *named, *o, *body = NULL;
	struct strbuf no_tests = STRBUF_INIT;
	const char *def;

	if (pytree_add(&t, dir, "flashinfer/", "flashinfer", err))
		goto out;
	/* a wheel brings no tests */
	if (pytree_add(&t, dir, "tests/", "tests", &no_tests))
		strbuf_release(&no_tests);
	pytree_link(&t);
	apis = collect_apis(&t, "flashinfer");
	add_paths(&t, apis, "flashinfer");
	add_tests(&t, apis, "flashinfer");
	named = json_object();
	json_object_foreach(apis, def, o) {
		json_t *paths = json_sorted_set(json_object_get(o, "paths"));
		const char *best = NULL;
		size_t i;

		for (i = 0; i < json_array_size(paths); i++) {
			const char *p = json_string_value(
				json_array_get(paths, i));

			if (!best || rank(&t, p, def) < rank(&t, best, def))
				best = p;
		}
		json_object_set_new(o, "paths", paths);
		json_object_set_new(o, "tests", json_sorted_set(
			json_object_get(o, "tests")));
		if (best)
			json_object_set(named, best, o);
	}
	body = json_pack("{s:o}", "apis", json_sorted_object(named));
	json_decref(named);
	json_decref(apis);
out:
	pytree_release(&t);
	return body;
}

/* ---- SGLang ---- */

static void add_call(json_t *calls, const char *path, const char *file,
		     uint32_t line, bool call)
{
	json_t *l = json_object_get(calls, path);

	if (!l) {
		l = json_array();
		json_object_set_new(calls, path, l);
	}
	json_array_append_new(l, json_pack("{s:s, s:i, s:b}", "file", file,
					   "line", (int)line, "call", call));
}

static void add_calls(const struct pytree *t, const struct py_file *f,
		      json_t *calls)
{
	struct strbuf path = STRBUF_INIT, to = STRBUF_INIT;
	size_t k;

	for (k = 0; k < f->scan.nchains; k++) {
		const struct py_chain *c = &f->scan.chains[k];

		if (c->unknown || !c->text.len)
			continue;
		strbuf_reset(&path);
		if (!pytree_meaning(f, c->text, &path))
			continue;
		strbuf_reset(&to);
		pytree_resolve(t, path.buf, &to);
		if (!strncmp(to.buf, "flashinfer.", 11))
			add_call(calls, to.buf, f->path, c->line, c->call);
	}
	strbuf_release(&path);
	strbuf_release(&to);
}

static void add_models(const struct py_file *f, json_t *models)
{
	size_t i, k;

	for (i = 0; i < f->scan.nentry; i++) {
		struct py_slice s = f->scan.entry[i];
		char *name = xstrndup(s.s, s.len);
		uint32_t line = f->scan.entry_line;

		for (k = 0; k < f->scan.ndefs; k++)
			if (!strcmp(f->scan.defs[k].qualname, name))
				line = f->scan.defs[k].line;
		json_object_set_new(models, name,
				    json_pack("{s:s, s:i}", "file", f->path,
					      "line", (int)line));
		free(name);
	}
}

json_t *index_sglang(const char *dir, struct strbuf *err)
{
	struct pytree t = { .prefer = "flashinfer" };
	json_t *calls, *models, *body = NULL;
	size_t i;

	if (pytree_add(&t, dir, "python/sglang/srt/", "sglang.srt", err))
		goto out;
	pytree_link(&t);
	calls = json_object();
	models = json_object();
	for (i = 0; i < t.nfiles; i++) {
		const struct py_file *f = &t.files[i];

		add_calls(&t, f, calls);
		if (!strncmp(f->module, "sglang.srt.models.", 18))
			add_models(f, models);
	}
	body = json_pack("{s:o, s:o}", "calls", json_sorted_object(calls),
			 "models", json_sorted_object(models));
	json_decref(calls);
	json_decref(models);
out:
	pytree_release(&t);
	return body;
}
