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

static const char *kernels_dir, *json_out;
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

static struct check c;
static json_t *definitions;	/* name -> definition, NULL when unusable */
static json_t *all_names;	/* name -> file of every definition file */
static json_t *solutions;	/* name -> author */
static json_t *workloads;	/* definition -> [{uuid, line}] */
static json_t *baselines;	/* definition -> its trace is there, too */

/* What was found joins the rest, in the order of the files. */
static void merge(struct path *p)
{
	json_t *v;
	size_t i;

	if (p->c.findings)
		json_array_extend(c.findings, p->c.findings);
	c.errors += p->c.errors;
	c.warnings += p->c.warnings;
	json_array_foreach(p->c.used_blobs, i, v)
		json_object_set(c.used_blobs, json_string_value(v), v);
	c.file = p->full;
	c.section = p->c.section;
	c.definition = p->c.definition;
	json_array_foreach(p->c.uuids, i, v) {
		const char *uuid = json_get_str(v, "uuid");
		const char *had = json_get_str(c.uuids, uuid);

		c.line = (size_t)json_integer_value(json_object_get(v,
								"line"));
		if (had)
			check_error(&c, "uuid %s is also in %s", uuid, had);
		else
			json_object_set_new(c.uuids, uuid,
					    json_string(p->full));
	}
	c.line = 0;
}

static void each(const char *folder, void (*fn)(struct path *p),
		 void (*after)(struct path *p))
{
	struct paths ps = { &c, NULL, 0, 0 };
	size_t i;

	paths_list(&ps, folder);
	paths_each(&ps, fn);
	for (i = 0; i < ps.n; i++) {
		merge(&ps.v[i]);
		if (after)
			after(&ps.v[i]);
	}
	paths_release(&ps);
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

static char *in_dataset(const char *rel)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "%s/%s", c.dataset, rel);
	return strbuf_detach(&sb);
}

static json_t *load(struct path *p)
{
	struct strbuf err = STRBUF_INIT;
	char *full = in_dataset(p->full);
	json_t *j = json_load_path(full, (size_t)64 << 20, &err);

	if (!j)
		check_error(&p->c, "%s", err.buf);
	free(full);
	strbuf_release(&err);
	return j;
}

static void definition(struct path *p)
{
	json_t *d;

	if (!fits(p, 3, ".json"))
		return;
	p->c.definition = p->stem;
	p->c.section = "definition";
	d = load(p);
	if (d && check_definition(&p->c, d, p->part[1], p->stem))
		p->d = json_incref(d);
	json_decref(d);
}

static void keep_definition(struct path *p)
{
	const char *had;

	if (p->n != 3 || strcmp(p->c.section, "definition"))
		return;
	had = json_get_str(all_names, p->stem);
	if (had)
		check_error(&c, "duplicate definition name, also in %s", had);
	json_object_set_new(all_names, p->stem, json_string(p->full));
	if (p->d)
		json_object_set(definitions, p->stem, p->d);
}

/* Each line with something in it that is JSON; the others are findings. */
static void each_line(struct path *p, const char *def,
		      void (*fn)(struct path *p, const json_t *line))
{
	struct strbuf sb = STRBUF_INIT_MAX((size_t)1 << 30);
	struct strbuf err = STRBUF_INIT;
	char *full = in_dataset(p->full), *s, *nl;
	struct check *pc = &p->c;
	json_t *j;

	if (strbuf_read_file(&sb, full, &err))
		check_error(pc, "%s", err.buf);
	for (s = sb.buf, pc->line = 1; *s; s = nl, pc->line++) {
		size_t n = strcspn(s, "\n");

		nl = s + n + (s[n] == '\n');
		if (strspn(s, " \t\r") >= n)
			continue;
		strbuf_reset(&err);
		j = json_parse(s, n, "the line", &err);
		if (!j)
			check_error(pc, "%s", err.buf);
		else if (!json_get_str(j, "definition") ||
			 strcmp(json_get_str(j, "definition"), def))
			check_error(pc, "definition '%s' is not the file's,"
				    " '%s'", json_get_str(j, "definition") ?
				    json_get_str(j, "definition") : "", def);
		else
			fn(p, j);
		json_decref(j);
	}
	pc->line = 0;
	free(full);
	strbuf_release(&sb);
	strbuf_release(&err);
}

static bool known(struct path *p, const char *def, const char *op)
{
	const json_t *d = json_object_get(definitions, def);

	p->c.definition = def;
	if (!json_object_get(all_names, def))
		check_error(&p->c, "there is no definition '%s'", def);
	else if (d && strcmp(json_get_str(d, "op_type"), op))
		check_error(&p->c, "folder '%s' is not the definition's"
			    " op_type, '%s'", op, json_get_str(d, "op_type"));
	return d;
}

static void workload_line(struct path *p, const json_t *line)
{
	check_workload(&p->c, line, json_object_get(definitions, p->stem));
}

static void workload(struct path *p)
{
	if (!fits(p, 3, ".jsonl"))
		return;
	p->c.section = "layout";
	if (known(p, p->stem, p->part[1])) {
		p->c.section = "workload";
		each_line(p, p->stem, workload_line);
	}
}

static void keep_workload(struct path *p)
{
	json_object_set(workloads, p->stem, p->c.uuids);
}

static void solution(struct path *p)
{
	json_t *s;

	if (!fits(p, 5, ".json"))
		return;
	p->c.section = "solution";
	known(p, p->part[3], p->part[2]);
	s = load(p);
	if (s)
		check_solution(&p->c, s, p->part[1], p->part[2], p->part[3],
			       p->stem, definitions);
	json_decref(s);
}

static void keep_solution(struct path *p)
{
	if (p->n != 5)
		return;
	json_object_set_new(solutions, p->stem, json_string(p->part[1]));
	if (!strcmp(p->part[1], "baseline"))
		json_object_set_new(baselines, p->part[3], json_false());
}

static void trace_line(struct path *p, const json_t *line)
{
	check_trace(&p->c, line, solutions, p->part[1]);
}

static void trace(struct path *p)
{
	if (!fits(p, 4, ".jsonl"))
		return;
	p->c.section = "layout";
	known(p, p->stem, p->part[2]);
	p->c.section = "trace";
	each_line(p, p->stem, trace_line);
}

static void keep_trace(struct path *p)
{
	const json_t *want = json_object_get(workloads, p->stem);
	size_t missing = 0, i;
	json_t *v;

	if (p->n != 4)
		return;
	json_array_foreach((json_t *)want, i, v)
		missing += !json_object_get(p->c.covered,
					    json_get_str(v, "uuid"));
	c.section = "trace";
	if (missing && json_object_size(p->c.covered))
		check_warn(&c, "%s misses %zu of %zu workloads", p->part[1],
			   missing, json_array_size(want));
	if (!strcmp(p->part[1], "baseline"))
		json_object_set_new(baselines, p->stem, json_true());
}

static void missing_baselines(void)
{
	const json_t *has;
	const char *name;
	json_t *d;

	c.section = "baseline";
	json_object_foreach(definitions, name, d) {
		has = json_object_get(baselines, name);
		c.definition = name;
		c.file = json_get_str(all_names, name);
		if (!has)
			check_warn(&c, "no baseline solution");
		else if (json_is_false(has))
			check_warn(&c, "no baseline trace");
	}
}

static void blob(struct path *p)
{
	if (json_object_get(c.used_blobs, p->full))
		return;
	p->c.section = "workload";
	check_warn(&p->c, "no workload uses this blob");
}

static void missing_workloads(void)
{
	struct strbuf path = STRBUF_INIT;
	const char *name;
	char *full;
	json_t *d;

	c.section = "workload";
	json_object_foreach(definitions, name, d) {
		strbuf_reset(&path);
		strbuf_addf(&path, "workloads/%s/%s.jsonl",
			    json_get_str(d, "op_type"), name);
		full = in_dataset(path.buf);
		c.definition = name;
		c.file = path.buf;
		if (access(full, F_OK))
			check_warn(&c, "no workload file");
		free(full);
	}
	strbuf_release(&path);
}

/* Name patterns of the catalogue. */
static void load_templates(void)
{
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
				json_array_append(c.templates,
						  json_object_get(t, "name"));
		}
	}
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
	struct strbuf err = STRBUF_INIT;
	int first = opt_parse(argc, argv, &tool, options);
	struct stat st;
	json_t *report;

	if (first + 1 != argc)
		opt_usage("one DATASET is needed");
	c = (struct check){ .dataset = argv[first],
		.findings = json_array(), .uuids = json_object(),
		.used_blobs = json_object(), .templates = json_array() };
	if (stat(c.dataset, &st) || !S_ISDIR(st.st_mode))
		die(EX_REFUSED, "%s is no folder", c.dataset);
	c.dirfd = open(c.dataset, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c.dirfd < 0)
		die(EX_REFUSED, "unable to open %s: %s", c.dataset,
		    strerror(errno));
	definitions = json_object();
	all_names = json_object();
	solutions = json_object();
	workloads = json_object();
	baselines = json_object();
	if (kernels_dir)
		load_templates();
	json_object_seed(0);	/* before there are threads */
	each("definitions", definition, keep_definition);
	if (!json_object_size(all_names))
		die(EX_REFUSED, "%s/definitions holds no OP/NAME.json",
		    c.dataset);
	missing_workloads();
	each("workloads", workload, keep_workload);
	each("solutions", solution, keep_solution);
	each("traces", trace, keep_trace);
	missing_baselines();
	each("blob", blob, NULL);
	if (!quiet && !(json_out && !strcmp(json_out, "-")))
		print_findings();
	report = json_pack("{s:I, s:I, s:I, s:O}", "definitions",
			   (json_int_t)json_object_size(all_names), "errors",
			   (json_int_t)c.errors, "warnings",
			   (json_int_t)c.warnings, "findings", c.findings);
	if (json_out && json_save(report, json_out, &err))
		die(EX_AGAIN, "%s", err.buf);
	if (done())
		return EX_AGAIN;
	return c.errors ? EX_REFUSED : EX_DONE;
}
