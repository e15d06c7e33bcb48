/*
 * coverage - bring flashinfer-bench's coverage page up to date for a model.
 */
#include "lib/coverage.h"
#include "lib/die.h"
#include "lib/opt.h"
#include "lib/outfile.h"

static const char *run_dir, *index_path, *page_path, *possible_path;
static const char *out = "-", *report_path;

static const struct tool tool = {
	"--run=DIR --index=FILE --possible=FILE --page=FILE [-o FILE]",
	"Bring docs/model_coverage.mdx up to date for a model.",
	"the page; DIR/{serving,kernels,sessions}.json; the index of the\n"
	"        dataset; needed.json of all TP, EP and page sizes",
	"the page, with no other line moved; a report of what changed and of\n"
	"        the rows that contradict the config"
};

static const struct option options[] = {
	OPT_STR('r', "run", &run_dir, "DIR", "folder of the run"),
	OPT_STR('i', "index", &index_path, "FILE", "flashinfer_trace.json"),
	OPT_STR(0, "possible", &possible_path, "FILE",
		"needed.json for every serving"),
	OPT_STR('p', "page", &page_path, "FILE", "model_coverage.mdx"),
	OPT_STR(0, "report", &report_path, "FILE", "report, JSON"),
	OPT_STR('o', "output", &out, "FILE", "the new page, - is stdout [-]"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT;

static json_t *load(const char *path, size_t max)
{
	json_t *j = json_load_path(path, max, &err);

	if (!j)
		die(EX_REFUSED, "%s", err.buf);
	return j;
}

static json_t *of_run(const char *name)
{
	struct strbuf path = STRBUF_INIT;
	json_t *j;

	strbuf_addf(&path, "%s/%s", run_dir, name);
	j = load(path.buf, JSON_MAX_CONFIG);
	strbuf_release(&path);
	return j;
}

/* What the dataset has and what this run has made for it. */
static const char *status(const json_t *index, const json_t *sessions,
			  const json_t *k)
{
	const char *name = json_get_str(k, "definition_name");
	const char *phase3 = json_get_str(json_object_get(sessions, name),
					  "phase3_status");

	if (json_object_get(json_object_get(index, "workloads"), name) ||
	    (phase3 && !strcmp(phase3, "done")))
		return "full";
	return "part";
}

int main(int argc, char **argv)
{
	struct strbuf page = STRBUF_INIT_MAX(16 << 20), made = STRBUF_INIT;
	struct strbuf arch = STRBUF_INIT;
	json_t *serving, *kernels, *sessions, *index, *rows, *all, *k;
	json_t *possible = json_object(), *report;
	struct coverage c;
	const char *id;
	size_t i;

	if (opt_parse(argc, argv, &tool, options) != argc)
		opt_usage("no arguments are taken, only options");
	if (!run_dir || !index_path || !page_path || !possible_path)
		opt_usage("--run, --index, --possible and --page are needed");
	serving = of_run("serving.json");
	kernels = json_need_array(of_run("kernels.json"), "kernels",
				  "kernels.json", &err);
	sessions = json_object_get(of_run("sessions.json"), "kernels");
	index = load(index_path, JSON_MAX_INDEX);
	all = json_need_array(load(possible_path, JSON_MAX_CONFIG), "kernels",
			      possible_path, &err);
	c.slug = json_need_str(serving, "model_slug", "serving.json", &err);
	if (!kernels || !all || !c.slug ||
	    strbuf_read_file(&page, page_path, &err))
		die(EX_REFUSED, "%s", err.buf);
	rows = json_array();
	json_array_foreach(kernels, i, k)
		json_array_append_new(rows, json_pack("{s:O, s:O, s:s}",
			"definition_name", json_object_get(k,
							   "definition_name"),
			"op_type", json_object_get(k, "op_type"), "status",
			status(index, sessions, k)));
	json_array_foreach(all, i, k)
		json_object_set(possible, json_get_str(k, "definition_name"),
				json_object_get(k, "op_type"));
	json_array_foreach(kernels, i, k)
		json_object_set(possible, json_get_str(k, "definition_name"),
				json_object_get(k, "op_type"));
	id = json_get_str(serving, "hf_repo_id");
	c.display = id && strchr(id, '/') ? strchr(id, '/') + 1 : c.slug;
	coverage_architecture(&arch, kernels);
	c.architecture = arch.buf;
	c.rows = rows;
	c.possible = possible;
	report = coverage_update(&made, page.buf, page.len, &c, &err);
	if (!report)
		die(EX_REFUSED, "%s: %s", page_path, err.buf);
	if (outfile_write(out, made.buf, made.len, &err) ||
	    (report_path && json_save(report, report_path, &err)))
		die(EX_AGAIN, "%s", err.buf);
	json_array_foreach(json_object_get(report, "contradictions"), i, k)
		warn("%s:%lld: %s: %s", page_path, (long long)
		     json_integer_value(json_object_get(k, "line")),
		     json_get_str(k, "row"), json_get_str(k, "reason"));
	return done();
}
