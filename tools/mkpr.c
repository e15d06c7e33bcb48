/*
 * mkpr - lay what would be sent into the outbox.
 *
 * For each definition that we wrote: the dataset pull request (title, body,
 * the definition) and the coverage pull request (title, body). Nothing is
 * sent; everything can be read first. All of it is a pure function of this
 * model's run.
 */
#include "lib/die.h"
#include "lib/kernels.h"
#include "lib/opt.h"
#include "lib/outfile.h"

#include <dirent.h>

static const char *run_dir, *repos_path, *kernels_dir = "kernels";
static const char *outbox, *list_path, *out = "-";

static const struct tool tool = {
	"--run=DIR --repos=FILE --outbox=DIR [-o FILE]",
	"Lay out the pull requests of a model's new definitions.",
	"DIR/{serving,kernels,definitions,sessions}.json, repos.json, templates",
	"OUTBOX/NAME/{dataset,coverage}/, and a list of what lies there"
};

static const struct option options[] = {
	OPT_STR('r', "run", &run_dir, "DIR", "folder of the run"),
	OPT_STR(0, "repos", &repos_path, "FILE", "repos.json"),
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

	if (opt_parse(argc, argv, &tool, options) != argc)
		opt_usage("no arguments are taken, only options");
	if (!run_dir || !repos_path || !outbox)
		opt_usage("--run, --repos and --outbox are needed");
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
		dataset(k, name, json_get_str(k, "op_type"),
			json_object_get(sessions, name));
		coverage(name, json_get_str(k, "op_type"));
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
