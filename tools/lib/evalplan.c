#include "evalplan.h"
#include "outfile.h"
#include "wltarget.h"

#include <dirent.h>

static bool wanted(const char *only, const char *author, const char *name)
{
	char *words = only ? xstrdup(only) : NULL, *save, *w;
	bool ok = !words;

	for (w = words ? strtok_r(words, ",", &save) : NULL; w && !ok;
	     w = strtok_r(NULL, ",", &save))
		ok = !strcmp(author, w) || strstr(name, w);
	free(words);
	return ok;
}

static int open_author(struct eval_work *w, const struct eval_plan *p,
		       const char *author, struct strbuf *err)
{
	char *path, *journal;
	int ret;

	if (w->nauthors == ARRAY_SIZE(w->author)) {
		strbuf_addf(err, "%s: solutions of more than %zu authors", w->name,
			    ARRAY_SIZE(w->author));
		return -1;
	}
	path = strbuf_text("%s/%s/%s/%s.jsonl", p->traces, author, w->op, w->name);
	journal = strbuf_text("%s/journal/%s.%s.jsonl", p->cache, author, w->name);
	w->author[w->nauthors].name = xstrdup(author);
	ret = eval_traces_open(&w->author[w->nauthors].traces, path, journal, err);
	w->nauthors++;
	free(path);
	free(journal);
	return ret;
}

static int add_solution(struct eval_work *w, const struct eval_plan *p,
			const char *path, struct strbuf *err)
{
	struct eval_solution s = { 0 };
	const char *language;

	s.json = json_load_path(path, 64 << 20, err);
	if (!s.json || sha256_file(s.digest, path, err))
		return -1;
	s.author = w->author[w->nauthors - 1].name;
	s.name = json_get_str(s.json, "name");
	language = json_get_str(json_object_get(s.json, "spec"), "language");
	if (!s.name || !language || !kernel_name_ok(s.name)) {
		strbuf_addf(err, "%s: it has no name or no spec.language", path);
		return -1;
	}
	if (!wanted(p->only, s.author, s.name))
		goto no;
	if (strcmp(language, "python") && strcmp(language, "triton")) {
		s.so = strbuf_text("%s/%s.so", p->libs, s.name);
		if (access(s.so, R_OK)) {
			char *why = strbuf_text("%s: %s is not there; make kernels builds it",
					 s.name, s.so);

			json_array_append_new(w->missing, json_string(why));
			free(why);
			goto no;
		}
	}
	s.traces = &w->author[w->nauthors - 1].traces;
	w->solutions = xrealloc(w->solutions, (w->nsolutions + 1) *
				sizeof *w->solutions);
	w->solutions[w->nsolutions++] = s;
	return 0;
no:
	free(s.so);
	json_decref(s.json);
	return 0;
}

static int find_solutions(struct eval_work *w, const struct eval_plan *p,
			  struct strbuf *err)
{
	char *root = strbuf_text("%s/solutions", p->dataset), *dir, *path;
	struct dirent **authors = NULL, **files;
	int n = scandir(root, &authors, dir_visible, dir_by_name), m, i, k;
	int ret = 0;

	for (i = 0; i < n; i++) {
		files = NULL;
		dir = strbuf_text("%s/%s/%s/%s", root, authors[i]->d_name, w->op, w->name);
		m = scandir(dir, &files, dir_json, dir_by_name);
		if (m > 0 && !ret)
			ret = open_author(w, p, authors[i]->d_name, err);
		for (k = 0; k < m; k++) {
			path = strbuf_text("%s/%s", dir, files[k]->d_name);
			if (!ret)
				ret = add_solution(w, p, path, err);
			free(path);
			free(files[k]);
		}
		free(files);
		free(dir);
		free(authors[i]);
	}
	free(authors);
	free(root);
	return ret;
}

static int read_workloads(struct eval_work *w, const struct eval_plan *p,
			  struct strbuf *err)
{
	char *path = strbuf_text("%s/workloads/%s/%s.jsonl", p->workloads, w->op, w->name);
	struct strbuf sb = STRBUF_INIT;
	char *s, *nl;
	json_t *line;
	int ret = 0;

	w->workloads = json_array();
	if (!access(path, F_OK))
		ret = strbuf_read_file(&sb, path, err);
	for (s = sb.buf; *s && !ret && (!p->limit ||
	     json_array_size(w->workloads) < p->limit); s = nl) {
		nl = s + strcspn(s, "\n");
		line = nl > s ? json_parse(s, (size_t)(nl - s), path, err) : NULL;
		if (nl > s && !json_is_object(json_object_get(line, "workload"))) {
			if (!err->len)
				strbuf_addf(err, "%s: a line without \"workload\"", path);
			ret = -1;
		} else if (nl > s) {
			json_array_append(w->workloads, json_object_get(line, "workload"));
		}
		json_decref(line);
		nl += *nl == '\n';
	}
	strbuf_release(&sb);
	free(path);
	return ret;
}

char *eval_find_op(const char *dataset, const char *name)
{
	char *root = strbuf_text("%s/definitions", dataset), *path, *op = NULL;
	struct dirent **ops = NULL;
	int n = scandir(root, &ops, dir_visible, dir_by_name), i;

	for (i = 0; i < n; i++) {
		path = strbuf_text("%s/%s/%s.json", root, ops[i]->d_name, name);
		if (!op && !access(path, F_OK))
			op = xstrdup(ops[i]->d_name);
		free(path);
		free(ops[i]);
	}
	free(ops);
	free(root);
	return op;
}

int eval_work_open(struct eval_work *w, const struct eval_plan *p,
		   const char *name, struct strbuf *err)
{
	struct wl_target target = { 0 };
	char *path;

	*w = (struct eval_work){ .name = xstrdup(name), .missing = json_array() };
	w->op = eval_find_op(p->dataset, name);
	if (!w->op) {
		strbuf_addf(err, "%s/definitions has no %s.json", p->dataset, name);
		return -1;
	}
	path = strbuf_text("%s/definitions/%s/%s.json", p->dataset, w->op, name);
	w->def = json_load_path(path, 16 << 20, err);
	if (!w->def || !json_need_str(w->def, "reference", path, err) ||
	    !json_need_object(w->def, "inputs", path, err) ||
	    !json_need_object(w->def, "outputs", path, err))
		return -1;
	free(path);
	target.op = w->op;
	target.name = w->name;
	target.def = w->def;
	wl_target_fill(&target, p->kernels);
	w->eval = target.t.json ? json_object_get(target.t.json, "eval") : NULL;
	if (read_workloads(w, p, err))
		return -1;
	return find_solutions(w, p, err);
}

int eval_work_save(struct eval_work *w, struct strbuf *err)
{
	size_t i;

	for (i = 0; i < w->nauthors; i++)
		if (eval_traces_save(&w->author[i].traces, w->workloads, err))
			return -1;
	return 0;
}
