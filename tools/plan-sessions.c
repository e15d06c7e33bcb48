/*
 * plan-sessions - what phase 3 does for each kernel of a model.
 *
 * What the dataset has counts as done; what is left to collect is grouped into
 * the fewest server starts. No engine is driven yet: the kernels say so.
 */
#include "lib/die.h"
#include "lib/flavours.h"
#include "lib/kernels.h"
#include "lib/opt.h"

#define BATCH_SIZES 4	/* 8, 32, 64 and 128 */

static const char *index_dir, *out = "-", *kernels_dir = "kernels";
static bool skip;

static const struct tool tool = {
	"--index=DIR [--skip-workload] [-o FILE] KERNELS",
	"Say for each kernel how its workloads come about.",
	"kernels.json (- is stdin), DIR/flashinfer_trace.json",
	"sessions.json: {engine, server_starts, one_a_definition, sessions:\n"
	"        [{name, tp, ep, page_size, prefill, definitions, args, env}],\n"
	"        kernels: {NAME: {phase3_status, workload_entries}}}"
};

static const struct option options[] = {
	OPT_STR('k', "kernels", &kernels_dir, "DIR", "the catalogue [kernels]"),
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

static bool is_collected(const char *status)
{
	return !strcmp(status, "skipped (no engine)");
}

/* "flashinfer.decode.X" -> X.run and X.plan; a function is itself. */
static json_t *calls_of(const char *api)
{
	const char *last = api ? strrchr(api, '.') : NULL;
	struct strbuf run = STRBUF_INIT, plan = STRBUF_INIT;
	json_t *calls;

	if (!last)
		return json_array();
	last++;
	if (*last < 'A' || *last > 'Z')
		return json_pack("[s]", last);
	strbuf_addf(&run, "%s.run", last);
	strbuf_addf(&plan, "%s.plan", last);
	calls = json_pack("[s, s]", run.buf, plan.buf);
	if (strstr(last, "Ragged")) {
		strbuf_reset(&run);
		strbuf_addf(&run, "%s.forward*", last);
		json_array_append_new(calls, json_string(run.buf));
	}
	strbuf_release(&run);
	strbuf_release(&plan);
	return calls;
}

/* What the kernel asks of the server. */
static json_t *wish(const json_t *k)
{
	const json_t *ps = json_object_get(json_object_get(k, "axes"),
					   "page_size");
	struct strbuf no = STRBUF_INIT;
	struct kernel_template t;
	const char *prefill = NULL;
	json_t *o = json_pack("{s:O, s:O, s:O, s:o}", "definition_name",
			      json_object_get(k, "definition_name"), "tp",
			      json_object_get(k, "tp"), "ep",
			      json_object_get(k, "ep"), "calls",
			      calls_of(json_get_str(k, "fi_api")));

	if (ps)
		json_object_set(o, "page_size", (json_t *)ps);
	if (!kernel_template_load(&t, kernels_dir, json_get_str(k, "op_type"),
				  json_get_str(k, "template"), &no)) {
		prefill = json_get_str(t.json, "prefill");
		if (prefill)
			json_object_set_new(o, "prefill",
					    json_string(prefill));
		kernel_template_release(&t);
	}
	strbuf_release(&no);
	return o;
}

int main(int argc, char **argv)
{
	struct strbuf err = STRBUF_INIT, path = STRBUF_INIT;
	int first = opt_parse(argc, argv, &tool, options);
	json_t *all, *kernels, *dataset, *workloads = NULL, *k, *res;
	json_t *wishes = json_array(), *sessions;
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
		if (is_collected(json_get_str(o, "phase3_status")) &&
		    json_get_str(k, "fi_api"))
			json_array_append_new(wishes, wish(k));
		json_object_set_new(res, name, o);
	}
	sessions = flavours_plan(wishes);
	/* upstream starts a server for each definition and batch size */
	all = json_pack("{s:s, s:I, s:I, s:o, s:o}", "engine", "none",
			"server_starts", (json_int_t)json_array_size(sessions),
			"one_a_definition", (json_int_t)
			(json_array_size(wishes) * BATCH_SIZES), "sessions",
			sessions, "kernels", res);
	if (json_save(all, out, &err))
		die(EX_AGAIN, "%s", err.buf);
	return done();
}
