/*
 * checkset - check a dataset of FlashInfer-Bench (lib/check.h).
 * Reads definitions, workloads with the integer tensors of their blobs,
 * solutions and traces; writes findings as text and JSON. Exit 1 on errors.
 */
#include "lib/check.h"
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

/* A path below the dataset, cut at its slashes. */
struct path {
	char *full;		/* "solutions/A/OP/DEF/SOL.json" */
	char *part[6];
	int n;
	char *stem;
};

static void visit(const char *rel, int depth, void (*fn)(struct path *))
{
	struct strbuf full = STRBUF_INIT;
	struct dirent **v = NULL;
	int n, i;

	strbuf_addf(&full, "%s/%s", c.dataset, rel);
	n = depth < 8 ? scandir(full.buf, &v, dir_visible, dir_by_name) : -1;
	for (i = 0; i < n; i++) {
		struct strbuf sub = STRBUF_INIT;
		struct stat st;

		strbuf_addf(&sub, "%s/%s", rel, v[i]->d_name);
		strbuf_reset(&full);
		strbuf_addf(&full, "%s/%s", c.dataset, sub.buf);
		if (!lstat(full.buf, &st) && S_ISDIR(st.st_mode)) {
			visit(sub.buf, depth + 1, fn);
		} else {
			struct path p = { .full = xstrdup(sub.buf) };
			char *s, *save = NULL, *copy = xstrdup(sub.buf), *dot;

			for (s = strtok_r(copy, "/", &save); s && p.n < 6;
			     s = strtok_r(NULL, "/", &save))
				p.part[p.n++] = s;
			if (s)
				p.n = 7;
			p.stem = xstrdup(v[i]->d_name);
			dot = strrchr(p.stem, '.');
			if (dot)
				*dot = '\0';
			c.file = p.full;
			c.line = 0;
			c.definition = NULL;
			fn(&p);
			free(copy);
			free(p.stem);
			free(p.full);
		}
		strbuf_release(&sub);
		free(v[i]);
	}
	free(v);
	strbuf_release(&full);
}

static bool fits(const struct path *p, int parts, const char *ext)
{
	size_t n = strlen(p->full), e = strlen(ext);

	if (p->n == parts && n > e && !strcmp(p->full + n - e, ext))
		return true;
	c.section = "layout";
	check_warn(&c, "nothing looks for a file here");
	return false;
}

static char *in_dataset(const char *rel)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "%s/%s", c.dataset, rel);
	return strbuf_detach(&sb);
}

static json_t *load(const struct path *p)
{
	struct strbuf err = STRBUF_INIT;
	char *full = in_dataset(p->full);
	json_t *j = json_load_path(full, (size_t)64 << 20, &err);

	if (!j)
		check_error(&c, "%s", err.buf);
	free(full);
	strbuf_release(&err);
	return j;
}

static void definition(struct path *p)
{
	json_t *d;

	if (!fits(p, 3, ".json"))
		return;
	c.definition = p->stem;
	c.section = "definition";
	d = load(p);
	if (json_object_get(all_names, p->stem))
		check_error(&c, "duplicate definition name, also in %s",
			    json_get_str(all_names, p->stem));
	json_object_set_new(all_names, p->stem, json_string(p->full));
	if (d && check_definition(&c, d, p->part[1], p->stem))
		json_object_set(definitions, p->stem, d);
	json_decref(d);
}

/* Each line with something in it that is JSON; the others are findings. */
static void each_line(struct path *p, const char *def,
		      void (*fn)(const json_t *line, const char *def,
				 void *data), void *data)
{
	struct strbuf sb = STRBUF_INIT_MAX((size_t)1 << 30);
	struct strbuf err = STRBUF_INIT;
	char *full = in_dataset(p->full), *s, *nl;
	json_t *j;

	if (strbuf_read_file(&sb, full, &err))
		check_error(&c, "%s", err.buf);
	for (s = sb.buf, c.line = 1; *s; s = nl, c.line++) {
		size_t n = strcspn(s, "\n");

		nl = s + n + (s[n] == '\n');
		if (strspn(s, " \t\r") >= n)
			continue;
		strbuf_reset(&err);
		j = json_parse(s, n, "the line", &err);
		if (!j)
			check_error(&c, "%s", err.buf);
		else if (!json_get_str(j, "definition") ||
			 strcmp(json_get_str(j, "definition"), def))
			check_error(&c, "definition '%s' is not the file's,"
				    " '%s'", json_get_str(j, "definition") ?
				    json_get_str(j, "definition") : "", def);
		else
			fn(j, def, data);
		json_decref(j);
	}
	c.line = 0;
	free(full);
	strbuf_release(&sb);
	strbuf_release(&err);
}

static bool known(const char *def, const char *op)
{
	const json_t *d = json_object_get(definitions, def);

	c.definition = def;
	if (!json_object_get(all_names, def))
		check_error(&c, "there is no definition '%s'", def);
	else if (d && strcmp(json_get_str(d, "op_type"), op))
		check_error(&c, "folder '%s' is not the definition's op_type,"
			    " '%s'", op, json_get_str(d, "op_type"));
	return d;
}

static void workload_line(const json_t *line, const char *def, void *data)
{
	(void)data;
	check_workload(&c, line, json_object_get(definitions, def));
}

static void workload(struct path *p)
{
	if (!fits(p, 3, ".jsonl"))
		return;
	c.section = "layout";
	if (known(p->stem, p->part[1])) {
		c.section = "workload";
		each_line(p, p->stem, workload_line, NULL);
	}
}

static void solution(struct path *p)
{
	json_t *s;

	if (!fits(p, 5, ".json"))
		return;
	c.section = "solution";
	known(p->part[3], p->part[2]);
	s = load(p);
	if (s)
		check_solution(&c, s, p->part[1], p->part[2], p->part[3],
			       p->stem, definitions);
	json_decref(s);
	json_object_set_new(solutions, p->stem, json_string(p->part[1]));
}

struct tracing {
	const char *author;
	json_t *covered;
};

static void trace_line(const json_t *line, const char *def, void *data)
{
	struct tracing *t = data;

	(void)def;
	check_trace(&c, line, solutions, t->author, t->covered);
}

static void trace(struct path *p)
{
	struct tracing t = { p->part[1], json_object() };

	if (fits(p, 4, ".jsonl")) {
		c.section = "layout";
		known(p->stem, p->part[2]);
		c.section = "trace";
		each_line(p, p->stem, trace_line, &t);
	}
	json_decref(t.covered);
}

static void blob(struct path *p)
{
	if (json_object_get(c.used_blobs, p->full))
		return;
	c.section = "workload";
	check_warn(&c, "no workload uses this blob");
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
	if (kernels_dir)
		load_templates();
	visit("definitions", 0, definition);
	if (!json_object_size(all_names))
		die(EX_REFUSED, "%s/definitions holds no OP/NAME.json",
		    c.dataset);
	missing_workloads();
	visit("workloads", 0, workload);
	visit("solutions", 0, solution);
	visit("traces", 0, trace);
	visit("blob", 0, blob);
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
