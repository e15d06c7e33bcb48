/*
 * checkset - check a dataset of FlashInfer-Bench (lib/check.h).
 * Reads definitions, workloads with the integer tensors of their blobs,
 * solutions and traces; writes findings as text and JSON. Exit 1 on errors.
 */
#include "lib/check_paths.h"
#include "lib/die.h"
#include "lib/kernels.h"
#include "lib/opt.h"
#include "lib/outfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static const char *dataset, *kernels_dir, *json_out;
static bool quiet, errors_only;

static const struct tool tool = {
	"[--kernels=DIR] [--json=FILE] [-q] DATASET",
	"Check definitions, workloads, blobs, solutions and traces.",
	"DATASET/{definitions,workloads,blob,solutions,traces}; the catalogue,\n"
	"        to hold names against axes",
	"findings, a line each: LEVEL SECTION FILE:LINE: MESSAGE; and a JSON\n"
	"        report"
};

static const struct option options[] = {
	OPT_STR('k', "kernels", &kernels_dir, "DIR", "the catalogue"),
	OPT_STR('j', "json", &json_out, "FILE", "report, - is stdout"),
	OPT_BOOL('q', "quiet", &quiet, "print no findings"),
	OPT_BOOL('e', "errors", &errors_only, "no warnings"),
	OPT_END
};

static struct check base;		/* what every file's begins as */
static struct check c;			/* of all, in the order of files */
static struct strmap all_names = STRMAP_INIT;	/* definition -> its path */
static struct strmap usable = STRMAP_INIT;	/* of which it holds */
static struct strmap uuids = STRMAP_INIT;	/* -> file */
static struct strmap used_blobs = STRMAP_INIT;
static struct strmap workloads = STRMAP_INIT;	/* definition -> path */
static struct strmap files = STRMAP_INIT;	/* of workloads: path's text */
static struct strmap solutions = STRMAP_INIT;	/* -> author */
static struct strmap baselines = STRMAP_INIT;	/* definition -> below */
static char has_solution[] = "a solution", has_trace[] = "a trace, too";

/* What was found joins the rest. */
static void merge(struct check *from, const char *file)
{
	size_t i;

	if (from->findings)
		json_array_extend(c.findings, from->findings);
	c.errors += from->errors;
	c.warnings += from->warnings;
	for (i = 0; i < from->used_blobs.n; i++)
		strmap_set(&used_blobs, check_noted(&from->used_blobs, i),
			   &used_blobs);
	c.file = file;
	c.section = from->section;
	c.definition = from->definition;
	for (i = 0; i < from->uuids.n; i++) {
		const char *uuid = check_noted(&from->uuids, i);
		const char *had = strmap_get(&uuids, uuid);

		c.line = from->uuids.v[i].line;
		if (had)
			check_error(&c, "uuid %s is also in %s", uuid, had);
		else
			strmap_set(&uuids, uuid, (void *)(uintptr_t)file);
	}
	c.line = 0;
}

static void merge_all(struct paths *ps, void (*after)(struct path *p))
{
	size_t i;

	for (i = 0; i < ps->n; i++) {
		merge(&ps->v[i].c, ps->v[i].full);
		if (after && ps->v[i].n)
			after(&ps->v[i]);
	}
}

static bool fits(struct path *p, int parts, const char *ext)
{
	size_t n = strlen(p->full), e = strlen(ext);

	if (p->n == parts && n > e && !strcmp(p->full + n - e, ext))
		return true;
	p->c.section = "layout";
	check_warn(&p->c, "nothing looks for a file here");
	return false;
}

static const struct jval *load(struct path *p, struct reader *r)
{
	struct strbuf err = STRBUF_INIT;
	const struct jval *j = NULL;
	size_t n;
	char *s = path_read(p, r, 0, (size_t)64 << 20, &n, &err);

	if (s)
		j = jdoc_parse(&r->doc, s, n, "the file", &err);
	if (!j)
		check_error(&p->c, "%s", err.buf);
	strbuf_release(&err);
	return j;
}

/* Each line with something in it that is JSON; the others are findings. */
static void each_line(struct path *p, struct reader *r, const void *data,
		      void (*fn)(struct path *p, const struct jval *line,
				 const void *data))
{
	struct strbuf err = STRBUF_INIT;
	const struct jval *j;
	const char *name;
	char *s, *nl, *end;
	size_t n;

	s = path_read(p, r, 1, (size_t)1 << 30, &n, &err);
	if (!s)
		check_error(&p->c, "%s", err.buf);
	for (p->c.line = 1, end = s + (s ? n : 0); s < end;
	     s = nl + 1, p->c.line++) {
		nl = memchr(s, '\n', (size_t)(end - s));
		nl = nl ? nl : end;
		*nl = '\0';
		if (s + strspn(s, " \t\r") == nl)
			continue;
		strbuf_reset(&err);
		j = jdoc_parse(&r->line, s, (size_t)(nl - s), "the line",
			       &err);
		name = jv_get_str(j, "definition");
		if (!j)
			check_error(&p->c, "%s", err.buf);
		else if (!name || strcmp(name, p->stem))
			check_error(&p->c, "definition '%s' is not the file's,"
				    " '%s'", name ? name : "", p->stem);
		else
			fn(p, j, data);
	}
	p->c.line = 0;
	strbuf_release(&err);
}

/* Whether what p is for exists; its folder is held against the op_type. */
static void known(struct path *p, const char *def, const char *op)
{
	const struct path *d = strmap_get(&usable, def);

	p->c.definition = def;
	if (!strmap_get(&all_names, def))
		check_error(&p->c, "there is no definition '%s'", def);
	else if (d && strcmp(d->op_type, op))
		check_error(&p->c, "folder '%s' is not the definition's"
			    " op_type, '%s'", op, d->op_type);
}

/* ---- definitions, each with its workloads: nothing is kept of them ---- */

static void workload_line(struct path *p, const struct jval *line,
			  const void *d)
{
	check_workload(&p->c, line, d);
}

static void workload(struct path *p, struct reader *r, const struct jval *d)
{
	const char *op_type = jv_get_str(d, "op_type");

	p->c.section = "layout";
	p->c.definition = p->stem;
	if (strcmp(op_type, p->part[1]))
		check_error(&p->c, "folder '%s' is not the definition's"
			    " op_type, '%s'", p->part[1], op_type);
	p->c.section = "workload";
	p->c.blob = &r->blob;
	each_line(p, r, d, workload_line);
}

static void definition(struct path *p, struct reader *r)
{
	const struct jval *d;
	struct path *w;

	if (!fits(p, 3, ".json"))
		return;
	p->c.definition = p->stem;
	p->c.section = "definition";
	d = load(p, r);
	if (!d || !check_definition(&p->c, d, p->part[1], p->stem))
		return;
	p->op_type = xstrdup(jv_get_str(d, "op_type"));
	for (w = p->works; w; w = w->next)
		workload(w, r, d);
}

/* The last one of a name counts; more than one is an error. */
static void list_definitions(struct paths *ps)
{
	size_t i;

	paths_list(ps, "definitions");
	for (i = 0; i < ps->n; i++)
		if (ps->v[i].n == 3)
			strmap_set(&all_names, ps->v[i].stem, &ps->v[i]);
	if (!all_names.n)
		die(EX_REFUSED, "%s/definitions holds no OP/NAME.json",
		    dataset);
}

static void list_workloads(struct paths *ps)
{
	struct path *p, *d;
	size_t i;

	paths_list(ps, "workloads");
	for (i = ps->n; i-- > 0;) {
		p = &ps->v[i];
		if (!p->n || !fits(p, 3, ".jsonl"))
			continue;
		strmap_set(&files, p->full, p);
		d = strmap_get(&all_names, p->stem);
		p->c.section = "layout";
		p->c.definition = p->stem;
		if (!d) {
			check_error(&p->c, "there is no definition '%s'",
				    p->stem);
			continue;
		}
		p->next = d->works;
		d->works = p;
		strmap_set(&workloads, p->stem, p);
	}
}

static void keep_definition(struct path *p)
{
	static struct strmap met = STRMAP_INIT;
	const struct path *had;

	if (p->n != 3 || strcmp(p->c.section, "definition"))
		return;
	had = strmap_set(&met, p->stem, p);
	if (had)
		check_error(&c, "duplicate definition name, also in %s",
			    had->full);
	if (p->op_type)
		strmap_set(&usable, p->stem, p);
}

static void missing_workloads(const struct paths *ps)
{
	size_t i;

	c.section = "workload";
	for (i = 0; i < ps->n; i++) {
		const struct path *p = &ps->v[i];
		char *file;

		if (!p->op_type)
			continue;
		file = strbuf_text("workloads/%s/%s.jsonl", p->op_type,
				   p->stem);
		c.definition = p->stem;
		c.file = file;
		if (!strmap_get(&files, file))
			check_warn(&c, "no workload file");
		free(file);
	}
}

/* ---- solutions and traces ---- */

static void solution(struct path *p, struct reader *r)
{
	const struct jval *s;

	if (!fits(p, 5, ".json"))
		return;
	p->c.section = "solution";
	known(p, p->part[3], p->part[2]);
	s = load(p, r);
	if (s)
		check_solution(&p->c, s, p->part[1], p->part[3], p->stem);
}

static void keep_solution(struct path *p)
{
	if (p->n != 5)
		return;
	strmap_set(&solutions, p->stem, p->part[1]);
	if (!strcmp(p->part[1], "baseline"))
		strmap_set(&baselines, p->part[3], has_solution);
}

static void trace_line(struct path *p, const struct jval *line,
		       const void *data)
{
	(void)data;
	check_trace(&p->c, line, &solutions, p->part[1]);
}

static void trace(struct path *p, struct reader *r)
{
	if (!fits(p, 4, ".jsonl"))
		return;
	p->c.section = "layout";
	known(p, p->stem, p->part[2]);
	p->c.section = "trace";
	each_line(p, r, NULL, trace_line);
}

static void keep_trace(struct path *p)
{
	const struct path *w = strmap_get(&workloads, p->stem);
	struct strmap covered = STRMAP_INIT;
	size_t missing = 0, i;

	if (p->n != 4)
		return;
	for (i = 0; i < p->c.covered.n; i++)
		strmap_set(&covered, check_noted(&p->c.covered, i), p);
	for (i = 0; w && i < w->c.uuids.n; i++)
		missing += !strmap_get(&covered, check_noted(&w->c.uuids, i));
	c.section = "trace";
	if (missing && covered.n)
		check_warn(&c, "%s misses %zu of %zu workloads", p->part[1],
			   missing, w->c.uuids.n);
	strmap_release(&covered);
	if (!strcmp(p->part[1], "baseline"))
		strmap_set(&baselines, p->stem, has_trace);
}

static void missing_baselines(const struct paths *ps)
{
	size_t i;

	c.section = "baseline";
	for (i = 0; i < ps->n; i++) {
		const struct path *p = &ps->v[i];
		const char *has = strmap_get(&baselines, p->stem);

		if (!p->op_type)
			continue;
		c.definition = p->stem;
		c.file = p->full;
		if (!has)
			check_warn(&c, "no baseline solution");
		else if (has == has_solution)
			check_warn(&c, "no baseline trace");
	}
}

static void blobs_of(struct folder *f)
{
	struct strbuf path = STRBUF_INIT;
	size_t i, n;

	strbuf_addf(&path, "%s/", f->rel);
	n = path.len;
	f->c.section = "workload";
	for (i = 0; i < f->nfiles; i++) {
		path.len = n;
		strbuf_addstr(&path, f->files[i]);
		f->c.file = path.buf;
		if (!strmap_get(&used_blobs, path.buf))
			check_warn(&f->c, "no workload uses this blob");
	}
	strbuf_release(&path);
}

static void blobs(void)
{
	struct folders fs = { &base, NULL, 0 };
	size_t i;

	folders_list(&fs, "blob");
	folders_each(&fs, blobs_of);
	for (i = 0; i < fs.n; i++)
		merge(&fs.v[i].c, fs.v[i].rel);
	folders_release(&fs);
}

/* Name patterns of the catalogue. */
static json_t *load_templates(void)
{
	json_t *templates = json_array();
	struct strbuf err = STRBUF_INIT, path = STRBUF_INIT;
	json_t *ops = kernels_op_types(kernels_dir, &err), *op, *t;
	struct dirent **v;
	size_t i;
	int n, k;

	if (!ops)
		die(EX_REFUSED, "%s", err.buf);
	json_array_foreach(ops, i, op) {
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/%s", kernels_dir,
			    json_string_value(op));
		n = scandir(path.buf, &v, dir_visible, dir_by_name);
		for (k = 0; k < n; k++) {
			strbuf_reset(&path);
			strbuf_addf(&path, "%s/%s/%s", kernels_dir,
				    json_string_value(op), v[k]->d_name);
			if (strstr(v[k]->d_name, ".json") &&
			    (t = json_load_path(path.buf, 1 << 20, &err)))
				json_array_append(templates,
						  json_object_get(t, "name"));
		}
	}
	return templates;
}

static void print_findings(void)
{
	json_t *v;
	size_t i;

	json_array_foreach(c.findings, i, v) {
		const char *file = json_get_str(v, "file");
		json_int_t line = json_integer_value(json_object_get(v,
								"line"));

		if (errors_only && strcmp(json_get_str(v, "level"), "error"))
			continue;
		printf("%s %s %s", json_get_str(v, "level"),
		       json_get_str(v, "section"), file ? file : "");
		if (line)
			printf(":%lld", (long long)line);
		printf(": %s\n", json_get_str(v, "message"));
	}
}

int main(int argc, char **argv)
{
	struct paths defs = { &base, NULL, 0 }, works = defs, sols = defs;
	struct paths traces = defs;
	struct strbuf err = STRBUF_INIT;
	int first = opt_parse(argc, argv, &tool, options);
	struct stat st;
	json_t *report;

	if (first + 1 != argc)
		opt_usage("one DATASET is needed");
	dataset = argv[first];
	c.findings = json_array();
	if (stat(dataset, &st) || !S_ISDIR(st.st_mode))
		die(EX_REFUSED, "%s is no folder", dataset);
	base.dirfd = open(dataset, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (base.dirfd < 0)
		die(EX_REFUSED, "unable to open %s: %s", dataset,
		    strerror(errno));
	if (kernels_dir)
		base.templates = load_templates();
	json_object_seed(0);	/* before there are threads */
	list_definitions(&defs);
	list_workloads(&works);
	paths_each(&defs, definition);
	merge_all(&defs, keep_definition);
	missing_workloads(&defs);
	merge_all(&works, NULL);
	paths_list(&sols, "solutions");
	paths_each(&sols, solution);
	merge_all(&sols, keep_solution);
	paths_list(&traces, "traces");
	paths_each(&traces, trace);
	merge_all(&traces, keep_trace);
	missing_baselines(&defs);
	blobs();
	if (!quiet && !(json_out && !strcmp(json_out, "-")))
		print_findings();
	report = json_pack("{s:I, s:I, s:I, s:O}", "definitions",
			   (json_int_t)all_names.n, "errors",
			   (json_int_t)c.errors, "warnings",
			   (json_int_t)c.warnings, "findings", c.findings);
	if (json_out && json_save(report, json_out, &err))
		die(EX_AGAIN, "%s", err.buf);
	if (done())
		return EX_AGAIN;
	return c.errors ? EX_REFUSED : EX_DONE;
}
