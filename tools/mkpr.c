/*
 * mkpr - lay what would be sent into the outbox.
 *
 * For each definition that we wrote: the dataset pull request (title, body,
 * the definition), the coverage pull request (title, body), and for what
 * FlashInfer lacks the kernel request (title, labels, body), for an API
 * without a trace template the request for one. Nothing is sent; everything
 * can be read first. All of it is a pure function of this model's run.
 */
#include "lib/die.h"
#include "lib/kernels.h"
#include "lib/model.h"
#include "lib/opt.h"
#include "lib/outfile.h"

#include <dirent.h>

static const char *run_dir, *repos_path, *index_dir;
static const char *kernels_dir = "kernels";
static const char *outbox, *list_path, *out = "-";

static const struct tool tool = {
	"--run=DIR --repos=FILE --index=DIR --outbox=DIR [-o FILE]",
	"Lay out the pull requests of a model's new definitions.",
	"DIR/{serving,kernels,definitions,sessions}.json, repos.json, templates",
	"OUTBOX/NAME/{dataset,coverage,issue,trace-template}/, and a list of what lies there"
};

static const struct option options[] = {
	OPT_STR('r', "run", &run_dir, "DIR", "folder of the run"),
	OPT_STR(0, "repos", &repos_path, "FILE", "repos.json"),
	OPT_STR('i', "index", &index_dir, "DIR", "indexes of index-apis"),
	OPT_STR('k', "kernels", &kernels_dir, "DIR", "the catalogue [kernels]"),
	OPT_STR(0, "outbox", &outbox, "DIR", "where to lay them"),
	OPT_STR(0, "list", &list_path, "FILE", "paths of the files, a line each"),
	OPT_STR('o', "output", &out, "FILE", "outbox.json, - is stdout [-]"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT, list = STRBUF_INIT;
static json_t *repos;
static const char *slug, *hub_id, *display;

static json_t *load(const char *name)
{
	struct strbuf path = STRBUF_INIT;
	json_t *j;

	strbuf_addf(&path, "%s/%s", run_dir, name);
	j = json_load_path(path.buf, JSON_MAX_CONFIG, &err);
	if (!j)
		die(EX_REFUSED, "%s", err.buf);
	strbuf_release(&path);
	return j;
}

static const char *id_of(const char *repo)
{
	const char *id = json_get_str(json_object_get(repos, repo), "id");

	return id ? id : "not known";
}

static void put(const char *name, const char *file, const struct strbuf *sb)
{
	struct strbuf path = STRBUF_INIT;

	strbuf_addf(&path, "%s/%s/%s", outbox, name, file);
	if (outfile_write(path.buf, sb->buf, sb->len, &err))
		die(EX_AGAIN, "%s", err.buf);
	strbuf_addf(&list, "%s\n", path.buf);
	strbuf_release(&path);
}

/* The reference test, and the solution that wraps FlashInfer if it can. */
static void companions(const json_t *k, const char *name, const char *op)
{
	struct strbuf sb = STRBUF_INIT, file = STRBUF_INIT;
	json_t *sol = NULL;
	char *test = kernel_companions_for(kernels_dir, k, slug, display,
					   &sol, &err);

	if (!test)
		die(EX_REFUSED, "%s", err.buf);
	strbuf_addf(&file, "dataset/tests/references/test_%s.py", name);
	strbuf_addstr(&sb, test);
	put(name, file.buf, &sb);
	if (sol) {
		strbuf_reset(&sb);
		strbuf_reset(&file);
		json_print(&sb, sol);
		strbuf_addf(&file, "dataset/solutions/baseline/%s/%s/"
			    "flashinfer_wrapper_%s.json", op, name, name);
		put(name, file.buf, &sb);
	}
	json_decref(sol);
	free(test);
	strbuf_release(&sb);
	strbuf_release(&file);
}

static void dataset(const json_t *k, const char *name, const char *op,
		    const json_t *session)
{
	const json_t *n = json_object_get(session, "workload_entries");
	const char *phase3 = json_get_str(session, "phase3_status");
	struct strbuf sb = STRBUF_INIT, file = STRBUF_INIT;
	json_t *def = kernel_definition_for(kernels_dir, k, slug, display,
					    &err);

	if (!def)
		die(EX_REFUSED, "%s", err.buf);
	json_print(&sb, def);
	strbuf_addf(&file, "dataset/definitions/%s/%s.json", op, name);
	put(name, file.buf, &sb);
	companions(k, name, op);
	strbuf_reset(&sb);
	strbuf_addf(&sb, "Add %s: definition + reference test + baseline"
		    " solution + workloads + traces\n", name);
	put(name, "dataset/TITLE", &sb);
	strbuf_reset(&sb);
	strbuf_addf(&sb, "## Summary\n\n- Adds the definition `%s` (`%s`) that"
		    " **%s** needs.\n\n## Provenance\n\n- Model: %s\n"
		    "- SGLang: %s\n- FlashInfer: %s\n"
		    "- Workload entries: %" JSON_INTEGER_FORMAT "%s%s%s\n",
		    name, op, display, hub_id, id_of("sglang"),
		    id_of("flashinfer"), json_integer_value(n),
		    phase3 ? " (" : "", phase3 ? phase3 : "",
		    phase3 ? ")" : "");
	put(name, "dataset/BODY.md", &sb);
	json_decref(def);
	strbuf_release(&sb);
	strbuf_release(&file);
}

static void coverage(const char *name, const char *op)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "docs: mark %s as covered for %s\n", name, display);
	put(name, "coverage/TITLE", &sb);
	strbuf_reset(&sb);
	strbuf_addf(&sb, "## Summary\n- Marks `%s` (%s) as covered for **%s**"
		    " in\n  `docs/model_coverage.mdx`.\n- Definition JSON,"
		    " reference test, baseline solution, workloads, blobs,"
		    " and eval traces\n  all live in the HuggingFace dataset —"
		    " see (link once PR 2 is open).\n\n## Files changed\n"
		    "- `docs/model_coverage.mdx`\n\n## Linked PRs\n"
		    "- HuggingFace dataset PR: (link once PR 2 is open)\n",
		    name, op, display);
	put(name, "coverage/BODY.md", &sb);
	strbuf_release(&sb);
}

/* The model's file in SGLang, by the config's architectures. */
static const char *model_file(void)
{
	static json_t *models, *arch;
	struct strbuf path = STRBUF_INIT;
	const char *file = NULL;
	json_t *v;
	size_t i;

	if (!models) {
		strbuf_addf(&path, "%s/sglang.json", index_dir);
		models = json_object_get(json_load_path(path.buf,
					 JSON_MAX_INDEX, &err), "models");
		if (!models)
			die(EX_REFUSED, "%s", err.len ? err.buf :
			    "the index of SGLang has no models");
		arch = json_object_get(load("config.json"), "architectures");
	}
	json_array_foreach(arch, i, v)
		if (!file && json_is_string(v))
			file = json_get_str(json_object_get(models,
					    json_string_value(v)), "file");
	strbuf_release(&path);
	return file ? strrchr(file, '/') + 1 : "not known";
}

static void parameter_table(struct strbuf *sb, const json_t *def)
{
	const char *name;
	json_t *a;

	strbuf_addstr(sb, "| Axis | Type | Value | Description |\n"
		      "|------|------|-------|-------------|\n");
	json_object_foreach(json_object_get(def, "axes"), name, a) {
		const json_t *v = json_object_get(a, "value");

		strbuf_addf(sb, "| `%s` | %s | ", name,
			    json_get_str(a, "type"));
		if (v)
			strbuf_addf(sb, "%" JSON_INTEGER_FORMAT,
				    json_integer_value(v));
		strbuf_addf(sb, " | %s |\n", json_get_str(a, "description") ?
			    json_get_str(a, "description") : "");
	}
}

/* The contract's kernel request, for what FlashInfer does not have. */
static void kernel_request(const json_t *k, const char *name, const char *op)
{
	struct strbuf sb = STRBUF_INIT;
	struct kernel_template t;
	const char *layer, *api;
	json_t *def = kernel_definition_for(kernels_dir, k, slug, display,
					    &err);

	if (!def || kernel_template_load(&t, kernels_dir, op,
					 json_get_str(k, "template"), &err))
		die(EX_REFUSED, "%s", err.buf);
	layer = json_get_str(t.json, "layer");
	api = json_string_value(json_array_get(json_object_get(t.json,
					       "fi_api"), 0));
	strbuf_addf(&sb, "Kernel request: %s for %s\n", op, slug);
	put(name, "issue/TITLE", &sb);
	strbuf_reset(&sb);
	strbuf_addstr(&sb, "enhancement,kernel-request\n");
	put(name, "issue/LABELS", &sb);
	strbuf_reset(&sb);
	strbuf_addf(&sb, "## Kernel Request\n\n**Model**: %s (%s)\n"
		    "**Op type**: %s\n**Definition name**: %s\n\n"
		    "### Motivation\n\n"
		    "This kernel is required for serving **%s** with"
		    " FlashInfer.\n"
		    "A FlashInfer-Bench definition has been staged at:\n"
		    "`tmp/flashinfer-trace/definitions/%s/%s.json`\n"
		    "(landing in the HuggingFace dataset PR for"
		    " `flashinfer-ai/flashinfer-trace`)\n\n"
		    "### Kernel Parameters\n\n", display, hub_id, op, name,
		    display, op, name);
	parameter_table(&sb, def);
	strbuf_addf(&sb, "\n### Reference Implementation\n\n"
		    "A plain-PyTorch reference `run()` is available in the"
		    " definition JSON above.\n"
		    "The SGLang implementation is at:\n"
		    "`python/sglang/srt/%s`\n\n"
		    "### Requested Work\n\n"
		    "- [ ] CUDA/Triton kernel implementation matching the"
		    " definition schema\n"
		    "- [ ] FlashInfer Python API (`%s`)\n"
		    "- [ ] Unit test in `tests/test_%s.py`\n\n"
		    "### Links\n\n"
		    "- HuggingFace dataset PR: (link once PR 2 is open)\n"
		    "- SGLang model: `tmp/sglang/python/sglang/srt/models/%s`"
		    "\n- HuggingFace model: https://huggingface.co/%s\n",
		    layer ? layer : "layers/(not known)",
		    api ? api : "flashinfer.(not known)", op, model_file(),
		    hub_id);
	put(name, "issue/BODY.md", &sb);
	kernel_template_release(&t);
	json_decref(def);
	strbuf_release(&sb);
}

/* For a kernel whose API has no trace template: upstream's request for one. */
static void trace_template(const json_t *k, const char *name, const char *op)
{
	const char *api = json_get_str(k, "fi_api");
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "trace: add @flashinfer_api(trace=...) for %s\n",
		    api);
	put(name, "trace-template/TITLE", &sb);
	strbuf_reset(&sb);
	strbuf_addstr(&sb, "enhancement,flashinfer-trace\n");
	put(name, "trace-template/LABELS", &sb);
	strbuf_reset(&sb);
	strbuf_addf(&sb, "## Missing trace template\n\n"
		    "`%s` already has a working FlashInfer kernel but no"
		    " `@flashinfer_api(trace=...)`\n"
		    "template, so flashinfer-bench cannot auto-dump its"
		    " Definition JSON during a\n"
		    "`FLASHINFER_TRACE_DUMP=1` run. We had to fall back to"
		    " manual extraction for\n`%s`.\n\n"
		    "### What we need\n\n"
		    "A `TraceTemplate` (see `flashinfer/trace/template.py`"
		    " and the existing per-family\n"
		    "modules under `flashinfer/trace/templates/`) attached to"
		    " the existing `@flashinfer_api`\n"
		    "decorator on `%s`. The template should declare the full"
		    " set of axes / inputs /\n"
		    "outputs so `tests/trace/test_fi_trace_template_"
		    "consistency.py` passes.\n\n"
		    "### Reference (manual extraction)\n\n"
		    "The Definition JSON we hand-wrote for this op while"
		    " waiting for the trace template:\n"
		    "- `tmp/flashinfer-trace/definitions/%s/%s.json` (will"
		    " land in the\n"
		    "  next flashinfer-trace dataset PR — link from this"
		    " comment once open).\n"
		    "- Used by: %s (%s).\n\n", api, display, api, op, name,
		    display, hub_id);
	strbuf_addf(&sb, "### Acceptance\n\n"
		    "- [ ] `@flashinfer_api(trace=...)` attached to `%s`.\n"
		    "- [ ] Running `FLASHINFER_TRACE_DUMP=1 python"
		    " tests/trace/example_sglang.py` (or the\n"
		    "      relevant model harness) emits a JSON for this op"
		    " with the same `axes` /\n"
		    "      `inputs` / `outputs` / `name` we wrote by hand.\n"
		    "- [ ] `pytest tests/trace/ -v` passes.\n\n"
		    "### Related\n\n"
		    "- flashinfer-bench onboarding skill: `.claude/skills/"
		    "extract-kernel-definitions/SKILL.md`\n"
		    "  Path B → step B4 (this issue is filed by that step).\n",
		    api);
	put(name, "trace-template/BODY.md", &sb);
	strbuf_release(&sb);
}

/* What an earlier run laid there and this one does not want. */
static void remove_stale(const json_t *names)
{
	struct strbuf path = STRBUF_INIT;
	DIR *d = opendir(outbox);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' || json_array_has(names, e->d_name))
			continue;
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/%s", outbox, e->d_name);
		if (outfile_remove_tree(path.buf, &err))
			die(EX_AGAIN, "%s", err.buf);
	}
	if (d)
		closedir(d);
	strbuf_release(&path);
}

int main(int argc, char **argv)
{
	json_t *serving, *kernels, *defs, *sessions, *names, *d, *k = NULL;
	size_t i, n;
	char *note;

	if (opt_parse(argc, argv, &tool, options) != argc)
		opt_usage("no arguments are taken, only options");
	if (!run_dir || !repos_path || !index_dir || !outbox)
		opt_usage("--run, --repos, --index and --outbox are needed");
	repos = json_load_path(repos_path, JSON_MAX_CONFIG, &err);
	if (!repos)
		die(EX_REFUSED, "%s", err.buf);
	serving = load("serving.json");
	kernels = json_object_get(load("kernels.json"), "kernels");
	defs = json_object_get(load("definitions.json"), "definitions");
	sessions = json_object_get(load("sessions.json"), "kernels");
	slug = json_need_str(serving, "model_slug", "serving.json", &err);
	if (!slug)
		die(EX_REFUSED, "%s", err.buf);
	hub_id = json_get_str(serving, "hf_repo_id");
	display = hub_id && strchr(hub_id, '/') ? strchr(hub_id, '/') + 1
						: slug;
	hub_id = hub_id ? hub_id : "not known";
	names = json_array();
	json_array_foreach(defs, i, d) {
		const char *name = json_get_str(d, "definition_name");
		const char *result = json_get_str(d, "result");

		if (!name || !result || !strcmp(result, "existing"))
			continue;
		json_array_foreach(kernels, n, k)
			if (!strcmp(json_get_str(k, "definition_name"), name))
				break;
		if (n == json_array_size(kernels))
			die(EX_REFUSED, "%s/definitions.json: '%s' is not in"
			    " kernels.json", run_dir, name);
		note = model_issue_note(run_dir, name);
		if (note)
			json_object_set_new(k, "note", json_string(note));
		free(note);
		dataset(k, name, json_get_str(k, "op_type"),
			json_object_get(sessions, name));
		coverage(name, json_get_str(k, "op_type"));
		if (!strcmp(json_get_str(k, "fi_status"), "fi_missing"))
			kernel_request(k, name, json_get_str(k, "op_type"));
		else if (json_is_false(json_object_get(k, "fi_trace_template")))
			trace_template(k, name, json_get_str(k, "op_type"));
		json_array_append_new(names, json_string(name));
	}
	remove_stale(names);
	if (list_path && outfile_write(list_path, list.buf, list.len, &err))
		die(EX_AGAIN, "%s", err.buf);
	names = json_pack("{s:s, s:o}", "outbox", outbox, "names", names);
	if (json_save(names, out, &err))
		die(EX_AGAIN, "%s", err.buf);
	return done();
}
