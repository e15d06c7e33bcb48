/*
 * plan-sessions - what phase 3 does for each kernel of a model.
 *
 * What the dataset has, and what sessions brought, counts as done; what is
 * left to collect is grouped into the fewest server starts.
 */
#include "lib/die.h"
#include "lib/flavours.h"
#include "lib/kernels.h"
#include "lib/opt.h"
#include "lib/outfile.h"
#include "lib/sha256.h"

#define BATCH_SIZES 4	/* 8, 32, 64 and 128 */

static const char *index_dir, *out = "-", *kernels_dir = "kernels";
static const char *make_out, *results, *sglang_path, *sim_results;
static const char *engine = "none";
static bool skip;

static const struct tool tool = {
	"--index=DIR [--skip-workload] [-o FILE] KERNELS",
	"Say for each kernel how its workloads come about.",
	"kernels.json (- is stdin), DIR/flashinfer_trace.json, what sessions\n"
	"        of collect left",
	"sessions.json: {engine, server_starts, one_a_definition, sessions:\n"
	"        [{name, tp, ep, page_size, prefill, definitions, args, env}],\n"
	"        kernels: {NAME: {phase3_status, workload_entries}}}"
};

static const struct option options[] = {
	OPT_STR('k', "kernels", &kernels_dir, "DIR", "the catalogue [kernels]"),
	OPT_STR('i', "index", &index_dir, "DIR", "indexes of index-apis"),
	OPT_BOOL(0, "skip-workload", &skip, "collect nothing"),
	OPT_STR('r', "results", &results, "DIR",
		"of sessions: DIR/NAME/session.json"),
	OPT_STR(0, "simulated", &sim_results, "DIR",
		"of sessions of the simulated engine"),
	OPT_STR(0, "engine", &engine, "NAME", "that ran them [none]"),
	OPT_STR(0, "sglang", &sglang_path, "FILE",
		"what mkpr says of the pulls of SGLang: merged ones are in"),
	OPT_STR(0, "make", &make_out, "FILE",
		"sessions.mk: a rule for each session"),
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

/* What a merged pull has wired in counts as integrated. */
static void take_merged(json_t *kernels)
{
	struct strbuf err = STRBUF_INIT;
	json_t *sent = json_load_path(sglang_path, JSON_MAX_CONFIG, &err);
	json_t *it, *k;
	size_t i, j;

	if (!sent)
		die(EX_REFUSED, "%s", err.buf);
	json_array_foreach(json_object_get(sent, "items"), i, it) {
		if (!json_is_true(json_object_get(it, "merged")))
			continue;
		json_array_foreach(kernels, j, k)
			if (json_array_has(json_object_get(it, "names"),
					   json_get_str(k,
							"definition_name")))
				json_object_set_new(k, "sgl_status",
					json_string("sgl_integrated"));
	}
	json_decref(sent);
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

/*
 * Adds {entries} or {reason} of each definition that a session was for. One
 * that has no memory for its TP is over: a lower one is planned instead.
 */
static void take_session(json_t *had, const char *dir, const char *name)
{
	struct strbuf path = STRBUF_INIT, no = STRBUF_INIT;
	const char *def, *reason;
	json_t *s, *d;

	strbuf_addf(&path, "%s/%s/session.json", dir, name);
	s = json_load_path(path.buf, JSON_MAX_CONFIG, &no);
	reason = json_get_str(s, "reason");
	json_object_foreach(json_object_get(s, "definitions"), def, d) {
		json_t *n = json_object_get(d, "entries");

		if (json_integer_value(n) > 0)
			json_object_set_new(had, def, json_pack("{s:O}",
						"entries", n));
		else if (!reason && is(s, "status", "done") &&
			 !json_object_get(had, def))
			json_object_set_new(had, def, json_pack("{s:s, s:b}",
				"reason", "the engine never called it",
				"tried", 1));
		else if (reason && !json_object_get(had, def))
			json_object_set_new(had, def, json_pack("{s:s, s:b}",
				"reason", reason, "tried",
				json_object_get(s, "lower_tp") != NULL));
	}
	json_decref(s);
	strbuf_release(&path);
	strbuf_release(&no);
}

static json_t *take_sessions(const char *dir)
{
	json_t *had = json_object();
	struct dirent **v = NULL;
	int n = dir ? scandir(dir, &v, dir_visible, dir_by_name) : 0;
	int i;

	for (i = 0; i < n; i++) {
		take_session(had, dir, v[i]->d_name);
		free(v[i]);
	}
	free(v);
	return had;
}

/* A session had it to the end: another one would bring nothing else. */
static bool is_settled(const json_t *had)
{
	return json_object_get(had, "entries") ||
		json_is_true(json_object_get(had, "tried"));
}

/* What a session said of a kernel is its status. */
static void judge(json_t *o, const json_t *had)
{
	struct strbuf sb = STRBUF_INIT;
	const char *reason = json_get_str(had, "reason");
	json_t *n = json_object_get(had, "entries");

	if (n) {
		json_object_set_new(o, "phase3_status", json_string("done"));
		json_object_set(o, "workload_entries", n);
	} else if (reason) {
		strbuf_addf(&sb, "failed (%s)", reason);
		json_object_set_new(o, "phase3_status", json_string(sb.buf));
	}
	strbuf_release(&sb);
}

/* What the simulated engine made is there to try things on, no more. */
static void judge_simulated(json_t *o, const json_t *sim)
{
	json_t *n = json_object_get(sim, "entries");

	if (!n)
		return;
	json_object_set_new(o, "phase3_status", json_string("simulated"));
	json_object_set(o, "workload_entries", n);
}

/* Another set of definitions under the same name is another session. */
static void session_key(char key[9], const json_t *s)
{
	char *text = json_dumps(s, JSON_COMPACT), hex[SHA256_HEX];

	sha256_bytes(hex, text, strlen(text));
	snprintf(key, 9, "%.8s", hex);
	free(text);
}

/*
 * A session is done when its file `done.KEY` is there; what it left when it
 * failed does not count. {tp} in LAUNCHER is the session's number of GPUs.
 */
static void write_make(const json_t *sessions)
{
	struct strbuf sb = STRBUF_INIT, err = STRBUF_INIT;
	char key[9];
	const char *name;
	json_t *s;
	size_t i;

	strbuf_addstr(&sb, "# RUN, S, PLAN, COLLECT and LAUNCHER come from"
		      " rules.mk\nall:\n");
	json_array_foreach((json_t *)sessions, i, s) {
		name = json_get_str(s, "name");
		session_key(key, s);
		strbuf_addf(&sb, "all: $(RUN)/$(S)/%s/done.%s\n"
			    "$(RUN)/$(S)/%s/done.%s:\n"
			    "\t$(subst {tp},%lld,$(LAUNCHER)) $(COLLECT)"
			    " --plan=$(PLAN) --session=%s --dir=$(RUN)/$(S)/%s\n"
			    "\t@mkdir -p $(@D); touch $@\n", name, key, name, key, (long long)
			    json_integer_value(json_object_get(s, "tp")),
			    name, name);
	}
	if (outfile_write(make_out, sb.buf, sb.len, &err))
		die(EX_AGAIN, "%s", err.buf);
	strbuf_release(&sb);
}

int main(int argc, char **argv)
{
	struct strbuf err = STRBUF_INIT, path = STRBUF_INIT;
	int first = opt_parse(argc, argv, &tool, options);
	json_t *all, *kernels, *dataset, *workloads = NULL, *k, *res;
	json_t *wishes = json_array(), *sessions, *had, *sim;
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
	if (sglang_path)
		take_merged(kernels);
	res = json_object();
	had = take_sessions(results);
	sim = take_sessions(sim_results);
	json_array_foreach(kernels, i, k) {
		const char *name = json_get_str(k, "definition_name");
		json_t *w = json_object_get(workloads, name);
		json_t *o = json_pack("{s:s}", "phase3_status",
				      status_of(k, w));

		if (w)
			json_object_set(o, "workload_entries",
					json_object_get(w, "entries"));
		if (is_collected(json_get_str(o, "phase3_status")) &&
		    is_settled(json_object_get(had, name)))
			judge(o, json_object_get(had, name));
		if (is_collected(json_get_str(o, "phase3_status")) &&
		    json_get_str(k, "fi_api"))
			json_array_append_new(wishes, wish(k));
		if (is_collected(json_get_str(o, "phase3_status")))
			judge(o, json_object_get(had, name));
		if (is_collected(json_get_str(o, "phase3_status")))
			judge_simulated(o, json_object_get(sim, name));
		json_object_set_new(res, name, o);
	}
	sessions = flavours_plan(wishes);
	/* upstream starts a server for each definition and batch size */
	all = json_pack("{s:s, s:I, s:I, s:o, s:o}", "engine", engine,
			"server_starts", (json_int_t)json_array_size(sessions),
			"one_a_definition", (json_int_t)
			(json_array_size(wishes) * BATCH_SIZES), "sessions",
			sessions, "kernels", res);
	if (make_out)
		write_make(sessions);
	if (json_save(all, out, &err))
		die(EX_AGAIN, "%s", err.buf);
	return done();
}
