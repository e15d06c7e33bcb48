#include "git.h"
#include "index.h"
#include "outfile.h"
#include "proc.h"
#include "yamldoc.h"

#include <dirent.h>

/* ---- sgl-cookbook ---- */

static void add_int(json_t *arr, json_int_t n)
{
	size_t i;

	for (i = 0; i < json_array_size(arr); i++) {
		json_int_t v = json_integer_value(json_array_get(arr, i));

		if (v == n)
			return;
		if (v > n)
			break;
	}
	json_array_insert_new(arr, i, json_integer(n));
}

static json_t *model_entry(json_t *models, const char *id, const char *file,
			   const json_t *line)
{
	json_t *o = json_object_get(models, id);

	if (!o) {
		o = json_pack("{s:[], s:[], s:[], s:s, s:I}", "tp", "ep",
			      "page_sizes", "file", file, "line",
			      json_integer_value(line));
		json_object_set_new(models, id, o);
	}
	return o;
}

/* TP and EP that are not given are 1: that is how the server starts then. */
static void add_engine(json_t *entry, const json_t *engine)
{
	json_t *tp = json_object_get(engine, "tp");
	json_t *ep = json_object_get(engine, "ep");
	json_t *extra = json_object_get(engine, "extra_args");
	size_t i;

	if (!json_is_object(engine))
		return;
	add_int(json_object_get(entry, "tp"),
		json_integer_value(tp) > 0 ? json_integer_value(tp) : 1);
	add_int(json_object_get(entry, "ep"),
		json_integer_value(ep) > 0 ? json_integer_value(ep) : 1);
	for (i = 0; i + 1 < json_array_size(extra); i++) {
		const char *a = json_string_value(json_array_get(extra, i));
		json_t *v = json_array_get(extra, i + 1);
		long n = json_is_string(v) ?
			strtol(json_string_value(v), NULL, 10) :
			(long)json_integer_value(v);

		if (a && !strcmp(a, "--page-size") && n > 0)
			add_int(json_object_get(entry, "page_sizes"), n);
	}
}

static void add_model(json_t *models, const json_t *m, const char *file)
{
	static const char *const roles[] = { "engine", "prefill", "decode" };
	const char *id = json_get_str(m, "model_path"), *hw, *quant;
	json_t *h, *c;
	size_t i, k;

	if (!id)
		return;
	json_object_foreach(json_object_get(m, "hardware"), hw, h) {
		json_array_foreach(json_object_get(h, "configurations"), i, c) {
			quant = json_get_str(c, "quantized_model_path");
			for (k = 0; k < ARRAY_SIZE(roles); k++)
				add_engine(model_entry(models,
					quant ? quant : id, file,
					json_object_get(m, "@line")),
					json_object_get(c, roles[k]));
		}
	}
}

json_t *index_cookbook(const char *dir, struct strbuf *err)
{
	const char *base = "data/models/generated";
	struct strbuf path = STRBUF_INIT;
	json_t *models = json_object(), *left_out = json_array(), *body;
	struct dirent **v = NULL, **f = NULL;
	int nv, nf, i, k;
	size_t files = 0, x, y;

	strbuf_addf(&path, "%s/%s", dir, base);
	nv = scandir(path.buf, &v, dir_visible, dir_by_name);
	for (i = 0; i < nv; i++) {
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/%s/%s", dir, base, v[i]->d_name);
		nf = scandir(path.buf, &f, dir_visible, dir_by_name);
		for (k = 0; k < nf; k++) {
			struct strbuf why = STRBUF_INIT;
			json_t *doc, *fam, *m;

			strbuf_reset(&path);
			strbuf_addf(&path, "%s/%s/%s/%s", dir, base,
				    v[i]->d_name, f[k]->d_name);
			doc = yaml_load_path(path.buf, &why);
			/* one unreadable page must not hide the others */
			if (!doc)
				json_array_append_new(left_out,
						      json_string(why.buf));
			else
				files++;
			json_array_foreach(json_object_get(doc, "families"),
					   x, fam)
				json_array_foreach(json_object_get(fam,
						   "models"), y, m)
					add_model(models, m, path.buf +
						  strlen(dir) + 1);
			json_decref(doc);
			strbuf_release(&why);
			free(f[k]);
		}
		free(nf >= 0 ? f : NULL);
		free(v[i]);
	}
	free(nv >= 0 ? v : NULL);
	if (!files) {
		strbuf_addf(err, "%s/%s holds no readable YAML; is the clone"
			    " whole?", dir, base);
		body = NULL;
	} else {
		body = json_pack("{s:o, s:O}", "models",
				 json_sorted_object(models), "left_out",
				 left_out);
	}
	json_decref(models);
	json_decref(left_out);
	strbuf_release(&path);
	return body;
}

/* ---- flashinfer-trace ---- */

struct workload {
	char *name, *file;
};

/* "definitions/OP/NAME.json" -> OP and NAME; false for anything else */
static bool split(const char *path, const char *top, const char *ext,
		  char **op, char **name)
{
	size_t n = strlen(top), e = strlen(ext);
	const char *slash;

	if (strncmp(path, top, n) || path[n] != '/')
		return false;
	path += n + 1;
	slash = strchr(path, '/');
	n = strlen(path);
	if (!slash || strchr(slash + 1, '/') || n <= e ||
	    strcmp(path + n - e, ext))
		return false;
	*op = xstrndup(path, (size_t)(slash - path));
	*name = xstrndup(slash + 1, strlen(slash + 1) - e);
	return true;
}

/* Lines with anything in them, of each blob: one git process for all. */
static int count_entries(const char *dir, const struct strbuf *ids,
			 const struct workload *w, size_t n, json_t *out,
			 struct strbuf *err)
{
	struct strbuf blobs = STRBUF_INIT_MAX((size_t)1 << 30);
	struct proc p = { .argv = (const char *const[]){ "git", "-C", dir,
			  "cat-file", "--batch", NULL }, .in = ids->buf,
			  .in_len = ids->len, .out = &blobs };
	const char *at, *nl, *end;
	size_t i, size;
	int ret = proc_run(&p, err);

	if (ret > 0)
		strbuf_addf(err, "git cat-file in %s failed", dir);
	at = blobs.buf;
	end = blobs.buf + blobs.len;
	for (i = 0; !ret && i < n; i++) {
		int entries = 0;

		nl = memchr(at, '\n', (size_t)(end - at));
		size = nl && nl > at + 46 ? strtoul(at + 46, NULL, 10) : 0;
		if (!nl || size > (size_t)(end - nl - 1)) {
			strbuf_addf(err, "git cat-file in %s: %s is not at"
				    " hand", dir, w[i].file);
			ret = -1;
			break;
		}
		at = nl + 1;
		for (nl = at + size; at < nl; at++) {
			size_t len = strcspn(at, "\n");

			if (at + len > nl)
				len = (size_t)(nl - at);
			entries += strspn(at, " \t\r") < len;
			at += len;
		}
		at = nl + 1;
		json_object_set_new(out, w[i].name, json_pack("{s:s, s:i}",
			"file", w[i].file, "entries", entries));
	}
	strbuf_release(&blobs);
	return ret ? -1 : 0;
}

json_t *index_dataset(const char *dir, struct strbuf *err)
{
	struct strbuf tree = STRBUF_INIT_MAX((size_t)256 << 20);
	struct strbuf ids = STRBUF_INIT;
	struct workload *w = NULL;
	json_t *defs = json_object(), *wl = json_object(), *body = NULL;
	size_t n = 0, i;
	char *op, *name, *p;

	if (git_run(&(struct git_call){ .dir = dir, .out = &tree, .args =
		    GIT_ARGS("ls-tree", "-r", "-z", "HEAD", "definitions",
			     "workloads") }, err))
		goto out;
	/* "MODE TYPE ID<TAB>PATH<NUL>" */
	for (p = tree.buf; p < tree.buf + tree.len; p += strlen(p) + 1) {
		char *tab = strchr(p, '\t');

		if (!tab || tab - p < 52 || strncmp(p, "100", 3))
			continue;
		if (split(tab + 1, "definitions", ".json", &op, &name)) {
			json_object_set_new(defs, name,
				json_pack("{s:s, s:s}", "op_type", op,
					  "file", tab + 1));
			free(op);
			free(name);
		} else if (split(tab + 1, "workloads", ".jsonl", &op, &name)) {
			if (!(n & (n - 1)))
				w = xrealloc(w, st_mult(n ? 2 * n : 1,
							sizeof(*w)));
			w[n++] = (struct workload){ name, tab + 1 };
			strbuf_addf(&ids, "%.40s\n", tab - 40);
			free(op);
		}
	}
	if (n && count_entries(dir, &ids, w, n, wl, err))
		goto out;
	body = json_pack("{s:o, s:o}", "definitions", json_sorted_object(defs),
			 "workloads", json_sorted_object(wl));
out:
	for (i = 0; i < n; i++)
		free(w[i].name);
	free(w);
	json_decref(defs);
	json_decref(wl);
	strbuf_release(&tree);
	strbuf_release(&ids);
	return body;
}

/* ---- flashinfer-bench: the models of the coverage page's summary ---- */

json_t *index_coverage_text(const char *text, size_t len, const char *name,
			    struct strbuf *err)
{
	json_t *models = json_array();
	const char *p, *nl, *end = text + len;
	bool in = false;

	for (p = text; p < end; p = nl + 1) {
		size_t n;

		nl = memchr(p, '\n', (size_t)(end - p));
		nl = nl ? nl : end;
		n = (size_t)(nl - p);
		if (n >= 3 && !memcmp(p, "## ", 3))
			in = n >= 10 && !memcmp(p, "## Summary", 10);
		if (!in || n < 2 || memcmp(p, "| ", 2) ||
		    (n >= 8 && !memcmp(p, "| Model ", 8)))
			continue;
		p += 2;
		n -= 2;
		if (memchr(p, '|', n))
			n = (size_t)((const char *)memchr(p, '|', n) - p);
		while (n && p[n - 1] == ' ')
			n--;
		json_array_append_new(models, json_stringn(p, n));
	}
	if (json_array_size(models))
		return models;
	strbuf_addf(err, "%s has no model in a table under '## Summary'",
		    name);
	json_decref(models);
	return NULL;
}

json_t *index_coverage(const char *dir, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT, sb = STRBUF_INIT_MAX(16 << 20);
	const char *file = "docs/model_coverage.mdx";
	json_t *models = NULL;

	strbuf_addf(&path, "%s/%s", dir, file);
	if (!strbuf_read_file(&sb, path.buf, err))
		models = index_coverage_text(sb.buf, sb.len, path.buf, err);
	strbuf_release(&path);
	strbuf_release(&sb);
	return models ? json_pack("{s:o, s:s}", "coverage", models, "file",
				  file) : NULL;
}
