/*
 * plan-sessions - what phase 3 does for each kernel of a model.
 *
 * There is no engine yet, so no session is planned: every kernel that would
 * be collected says so in its status. What the dataset has counts as done.
 */
#include "lib/die.h"
#include "lib/json.h"
#include "lib/opt.h"

static const char *index_dir, *out = "-";
static bool skip;

static const struct tool tool = {
	"--index=DIR [--skip-workload] [-o FILE] KERNELS",
	"Say for each kernel how its workloads come about.",
	"kernels.json (- is stdin), DIR/flashinfer_trace.json",
	"sessions.json: {engine, sessions, kernels: {NAME: {phase3_status,\n"
	"        workload_entries}}}"
};

static const struct option options[] = {
	OPT_STR('i', "index", &index_dir, "DIR", "indexes of index-apis"),
	OPT_BOOL(0, "skip-workload", &skip, "collect nothing"),
	OPT_STR('o', "output", &out, "FILE", "sessions.json, - is stdout [-]"),
	OPT_END
};

static bool is(const json_t *k, const char *key, const char *word)
{
	const char *s = json_get_str(k, key);

	return s && !strcmp(s, word);
}

static const char *status_of(const json_t *k, const json_t *workloads)
{
	if (json_integer_value(json_object_get(workloads, "entries")) > 0)
		return "skipped (existing workloads)";
	if (is(k, "fi_status", "fi_missing"))
		return "skipped (fi_missing)";
	if (skip)
		return "skipped (--skip-workload)";
	if (is(k, "sgl_status", "sgl_missing"))
		return "paused (sglang pr)";
	return "skipped (no engine)";
}

int main(int argc, char **argv)
{
	struct strbuf err = STRBUF_INIT, path = STRBUF_INIT;
	int first = opt_parse(argc, argv, &tool, options);
	json_t *all, *kernels, *dataset, *workloads = NULL, *k, *res;
	size_t i;

	if (!index_dir || first + 1 != argc)
		opt_usage("--index and one kernels.json are needed");
	strbuf_addf(&path, "%s/flashinfer_trace.json", index_dir);
	all = json_load_path(argv[first], JSON_MAX_CONFIG, &err);
	kernels = all ? json_need_array(all, "kernels", argv[first], &err)
		      : NULL;
	dataset = kernels ? json_load_path(path.buf, JSON_MAX_INDEX, &err)
			  : NULL;
	if (dataset)
		workloads = json_need_object(dataset, "workloads", path.buf,
					     &err);
	if (!workloads)
		die(EX_REFUSED, "%s", err.buf);
	res = json_object();
	json_array_foreach(kernels, i, k) {
		const char *name = json_get_str(k, "definition_name");
		json_t *w = json_object_get(workloads, name);
		json_t *o = json_pack("{s:s}", "phase3_status",
				      status_of(k, w));

		if (w)
			json_object_set(o, "workload_entries",
					json_object_get(w, "entries"));
		json_object_set_new(res, name, o);
	}
	all = json_pack("{s:s, s:[], s:o}", "engine", "none", "sessions",
			"kernels", res);
	if (json_save(all, out, &err))
		die(EX_AGAIN, "%s", err.buf);
	return done();
}
