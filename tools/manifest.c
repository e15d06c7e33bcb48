/*
 * manifest - assemble the run manifest from the artefacts.
 *
 * A pure function of the files of a run: what a phase has not made is not
 * in it. It is never read back as state.
 */
#include "lib/die.h"
#include "lib/json.h"
#include "lib/opt.h"

static const char *run_dir, *slug, *repos_path, *out = "-";

static const struct tool tool = {
	"--run=DIR --slug=X --repos=FILE [-o FILE]",
	"Assemble the run manifest of a model.",
	"DIR/{date,serving,deferred,kernels,definitions,sessions,outbox}.json,\n"
	"        DIR/url/*, repos.json",
	"onboard_X_DATE.json: the fields of the contract, in its order"
};

static const struct option options[] = {
	OPT_STR('r', "run", &run_dir, "DIR", "folder of the run"),
	OPT_STR(0, "slug", &slug, "X", "the model's slug"),
	OPT_STR(0, "repos", &repos_path, "FILE", "repos.json"),
	OPT_STR('o', "output", &out, "FILE", "the manifest, - is stdout [-]"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT;

/* NULL when the phase has not made it; a file that is there must be whole. */
static json_t *artefact(const char *name)
{
	struct strbuf path = STRBUF_INIT;
	json_t *j = NULL;

	strbuf_addf(&path, "%s/%s", run_dir, name);
	if (!access(path.buf, F_OK)) {
		j = json_load_path(path.buf, JSON_MAX_CONFIG, &err);
		if (!j)
			die(EX_REFUSED, "%s", err.buf);
	}
	strbuf_release(&path);
	return j;
}

/* A one-line file of the run, or NULL. */
static char *line(const char *fmt, ...)
{
	struct strbuf path = STRBUF_INIT, sb = STRBUF_INIT_MAX(4096);
	struct strbuf no = STRBUF_INIT;
	char *s = NULL;
	va_list ap;

	strbuf_addf(&path, "%s/", run_dir);
	va_start(ap, fmt);
	strbuf_vaddf(&path, fmt, ap);
	va_end(ap);
	if (!strbuf_read_file(&sb, path.buf, &no)) {
		strbuf_rtrim(&sb);
		s = sb.len ? strbuf_detach(&sb) : NULL;
	}
	strbuf_release(&path);
	strbuf_release(&sb);
	strbuf_release(&no);
	return s;
}

static void copy(json_t *to, const json_t *from, const char *key)
{
	json_t *v = json_object_get(from, key);

	if (v)
		json_object_set(to, key, v);
}

static void copy_url(json_t *to, const char *key, const char *name,
		     const char *kind)
{
	char *url = line("url/%s.%s", name, kind);

	if (url)
		json_object_set_new(to, key, json_string(url));
	free(url);
}

static const json_t *named(const json_t *list, const char *name)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v) {
		const char *s = json_get_str(v, "definition_name");

		if (s && !strcmp(s, name))
			return v;
	}
	return NULL;
}

static json_t *kernel(const json_t *k, const json_t *defs,
		      const json_t *sessions)
{
	const char *name = json_get_str(k, "definition_name");
	const json_t *d = named(defs, name);
	const json_t *s = json_object_get(sessions, name);
	json_t *o = json_object();

	copy(o, k, "definition_name");
	copy(o, k, "op_type");
	copy(o, k, "phase1_status");
	copy(o, k, "fi_status");
	copy(o, k, "fi_trace_template");
	copy_url(o, "fi_trace_template_request_url", name, "trace-template");
	copy(o, k, "sgl_status");
	copy_url(o, "fi_issue_url", name, "issue");
	copy_url(o, "sglang_pr_url", name, "sglang");
	if (d) {
		json_object_set_new(o, "phase2_status", json_string("done"));
		if (json_object_get(d, "method"))
			json_object_set(o, "phase2_method",
					json_object_get(d, "method"));
	}
	copy(o, s, "phase3_status");
	copy(o, s, "workload_entries");
	copy(o, k, "evidence");
	return o;
}

static json_t *phase4(const json_t *outbox)
{
	json_t *o = json_object(), *v, *e;
	struct strbuf where = STRBUF_INIT;
	size_t i;

	json_array_foreach(json_object_get(outbox, "names"), i, v) {
		const char *name = json_string_value(v);

		e = json_object();
		copy_url(e, "flashinfer_trace_pr", name, "dataset");
		copy_url(e, "flashinfer_bench_pr", name, "coverage");
		if (!json_object_size(e)) {
			strbuf_reset(&where);
			strbuf_addf(&where, "%s/%s", json_get_str(outbox,
				    "outbox"), name);
			json_object_set_new(e, "outbox",
					    json_string(where.buf));
		}
		json_object_set_new(o, name, e);
	}
	strbuf_release(&where);
	return o;
}

static void add_repos(json_t *shas, json_t *sources)
{
	json_t *all = json_load_path(repos_path, JSON_MAX_CONFIG, &err), *r;
	const char *name;

	if (!all)
		die(EX_REFUSED, "%s", err.buf);
	json_object_foreach(all, name, r) {
		json_t *o = json_object();

		copy(o, r, "kind");
		copy(o, r, "id");
		copy(o, r, "ref");
		json_object_set_new(sources, name, o);
		if (strcmp(name, "flashinfer_bench"))
			json_object_set(shas, name, json_object_get(r,
								    "short"));
	}
	json_decref(all);
}

int main(int argc, char **argv)
{
	json_t *serving, *kernels, *defs, *sessions, *deferred, *m, *arr, *k;
	json_t *shas = json_object(), *sources = json_object(), *left;
	char *date;
	size_t i;

	if (opt_parse(argc, argv, &tool, options) != argc)
		opt_usage("no arguments are taken, only options");
	if (!run_dir || !slug || !repos_path)
		opt_usage("--run, --slug and --repos are needed");
	date = line("date");
	if (!date)
		die(EX_REFUSED, "%s/date is missing or empty; make writes it",
		    run_dir);
	serving = artefact("serving.json");
	deferred = artefact("deferred.json");
	kernels = artefact("kernels.json");
	left = json_object_get(kernels, "not_understood");
	kernels = json_object_get(kernels, "kernels");
	defs = json_object_get(artefact("definitions.json"), "definitions");
	sessions = json_object_get(artefact("sessions.json"), "kernels");
	add_repos(shas, sources);
	arr = json_array();
	if (!deferred)
		json_array_foreach(kernels, i, k)
			json_array_append_new(arr, kernel(k, defs, sessions));
	m = json_pack("{s:s, s:s?, s:s, s:o, s:o, s:o, s:o}",
		      "model_slug", slug, "hf_repo_id",
		      json_get_str(serving, "hf_repo_id"), "date", date,
		      "repo_shas", shas, "kernels", arr, "phase4",
		      phase4(artefact("outbox.json")), "sources", sources);
	if (deferred)
		json_object_set(m, "deferred", deferred);
	if (json_array_size(left))
		json_object_set(m, "not_understood", left);
	if (json_save(m, out, &err))
		die(EX_AGAIN, "%s", err.buf);
	return done();
}
