#include "pr.h"
#include "coverage.h"
#include "kernels.h"
#include "outfile.h"
#include "pr_files.h"
#include "proc.h"

static const char *name_of(const json_t *k)
{
	return json_get_str(k, "definition_name");
}

/* The definition's entry of definitions.json, borrowed. */
static const json_t *made(const struct pr *p, const char *name)
{
	json_t *d;
	size_t i;

	json_array_foreach(json_object_get(p->definitions, "definitions"), i,
			   d)
		if (pr_is(d, "definition_name", name))
			return d;
	return NULL;
}

static int put_json(struct pr *p, const char *name, const char *file,
		    const json_t *j, struct strbuf *err)
{
	struct strbuf sb = STRBUF_INIT;
	int ret;

	json_print(&sb, j);
	ret = pr_put(p, name, file, &sb, err);
	strbuf_release(&sb);
	return ret;
}

/*
 * What this model's run makes of it; but what came from a trace dump, or was
 * changed by hand, goes as it stands in the dataset's folder.
 */
static int put_definition(struct pr *p, const json_t *k, struct strbuf *err)
{
	const char *name = name_of(k), *op = json_get_str(k, "op_type");
	const json_t *d = made(p, name);
	const char *result = json_get_str(d, "result");
	struct strbuf file = STRBUF_INIT;
	json_t *def;
	int ret;

	strbuf_addf(&file, "definitions/%s/%s.json", op, name);
	if (pr_is(d, "method", "trace_dump") ||
	    (result && !strncmp(result, "left", 4))) {
		ret = pr_take(p, name, file.buf, err);
	} else {
		def = kernel_definition_for(p->kernels_dir, k, p->slug,
					    p->display, err);
		strbuf_reset(&file);
		strbuf_addf(&file, "dataset/definitions/%s/%s.json", op, name);
		ret = def ? put_json(p, name, file.buf, def, err) : -1;
		json_decref(def);
	}
	strbuf_release(&file);
	return ret;
}

/* The reference test, and the solution that wraps FlashInfer if it can. */
static int put_companions(struct pr *p, const json_t *k, struct strbuf *err)
{
	const char *name = name_of(k), *op = json_get_str(k, "op_type");
	struct strbuf sb = STRBUF_INIT, file = STRBUF_INIT;
	json_t *sol = NULL;
	char *test = kernel_companions_for(p->kernels_dir, k, p->slug,
					   p->display, &sol, err);
	int ret = -1;

	if (test) {
		strbuf_addf(&file, "dataset/tests/references/test_%s.py",
			    name);
		strbuf_addstr(&sb, test);
		ret = pr_put(p, name, file.buf, &sb, err);
	}
	if (!ret && sol) {
		strbuf_reset(&file);
		strbuf_addf(&file, "dataset/solutions/baseline/%s/%s/"
			    "flashinfer_wrapper_%s.json", op, name, name);
		ret = put_json(p, name, file.buf, sol, err);
	}
	json_decref(sol);
	free(test);
	strbuf_release(&sb);
	strbuf_release(&file);
	return ret;
}

static bool is_there(const struct pr *p, const char *rel)
{
	struct strbuf path = STRBUF_INIT;
	bool yes;

	strbuf_addf(&path, "%s/flashinfer-trace/%s", p->root, rel);
	yes = !access(path.buf, F_OK);
	strbuf_release(&path);
	return yes;
}

/* Workloads with the blobs that they name, and traces, where there are any. */
static int put_measured(struct pr *p, const json_t *k, struct strbuf *err)
{
	const char *name = name_of(k), *op = json_get_str(k, "op_type");
	struct strbuf rel = STRBUF_INIT;
	json_t *blobs, *v;
	size_t i;
	int ret = 0;

	strbuf_addf(&rel, "workloads/%s/%s.jsonl", op, name);
	if (is_there(p, rel.buf)) {
		ret = pr_take(p, name, rel.buf, err);
		blobs = pr_blobs(p, op, name);
		json_array_foreach(blobs, i, v)
			if (!ret && is_there(p, json_string_value(v)))
				ret = pr_take(p, name, json_string_value(v),
					      err);
		json_decref(blobs);
	}
	strbuf_reset(&rel);
	strbuf_addf(&rel, "traces/baseline/%s/%s.jsonl", op, name);
	if (!ret && is_there(p, rel.buf))
		ret = pr_take(p, name, rel.buf, err);
	strbuf_release(&rel);
	return ret;
}

static void add_provenance(struct strbuf *sb, const struct pr *p,
			   size_t entries)
{
	strbuf_addf(sb, "Model: %s\nSGLang: %s\nFlashInfer: %s\n"
		    "Workload entries: %zu\n", p->hub_id, pr_id(p, "sglang"),
		    pr_id(p, "flashinfer"), entries);
}

static void add_section(struct strbuf *sb, const char *title,
			const struct strbuf *text, const char *without)
{
	strbuf_addf(sb, "\n## %s\n\n", title);
	if (text->len)
		strbuf_addf(sb, "````\n%s\n````\n", text->buf);
	else
		strbuf_addf(sb, "%s\n", without);
}

static int put_texts(struct pr *p, const json_t *k, struct strbuf *err)
{
	const char *name = name_of(k), *op = json_get_str(k, "op_type");
	bool missing = pr_is(k, "fi_status", "fi_missing");
	struct strbuf sb = STRBUF_INIT, log = STRBUF_INIT;
	char *issue = pr_url(p, name, "issue");
	size_t entries = pr_entries(p, op, name);
	int ret;

	strbuf_addf(&sb, "Add %s: definition + reference test + baseline"
		    " solution + workloads + traces\n", name);
	ret = pr_put(p, name, "dataset/TITLE", &sb, err);
	strbuf_reset(&sb);
	strbuf_addf(&sb, "## Summary\n\n- Adds the definition `%s` (`%s`) that"
		    " **%s** needs.\n", name, op, p->display);
	if (missing)
		strbuf_addf(&sb, "- FlashInfer has no kernel for it yet (%s):"
			    " no workloads, baseline or traces.\n",
			    issue ? issue : "kernel request not filed yet");
	strbuf_addstr(&sb, "\n## Provenance\n\n");
	add_provenance(&sb, p, entries);
	pr_pytest(p, name, &log);
	add_section(&sb, "Reference Test", &log, "The reference test was not"
		    " run on the machine that laid this out.");
	strbuf_reset(&log);
	if (!missing) {
		pr_collection_log(p, name, &log);
		add_section(&sb, "SGLang Collection Log", &log,
			    "No collection is on record.");
	}
	strbuf_addch(&sb, '\n');
	pr_marker(&sb, p, "dataset", name);
	strbuf_addch(&sb, '\n');
	if (!ret)
		ret = pr_put(p, name, "dataset/BODY.md", &sb, err);
	free(issue);
	strbuf_release(&sb);
	strbuf_release(&log);
	return ret;
}

int pr_lay_dataset(struct pr *p, const json_t *k, struct strbuf *err)
{
	const char *name = name_of(k);
	json_t *it;

	if (put_definition(p, k, err) || put_companions(p, k, err) ||
	    put_measured(p, k, err) || put_texts(p, k, err))
		return -1;
	it = pr_item(p, "dataset", name, name, "flashinfer_trace");
	pr_check_dataset(p, k, json_object_get(it, "checks"));
	return 0;
}

/* ---- coverage ---- */

static const char *row_status(const struct pr *p, const json_t *k)
{
	const char *phase3 = json_get_str(json_object_get(json_object_get(
		p->sessions, "kernels"), name_of(k)), "phase3_status");

	return (phase3 && !strcmp(phase3, "done")) ||
		pr_entries(p, json_get_str(k, "op_type"), name_of(k)) ?
		"full" : "part";
}

/* The model's rows: what is published, this one, and the others as missing. */
static json_t *rows_of(const struct pr *p, const json_t *one)
{
	json_t *rows = json_array(), *k;
	const char *status;
	size_t i;

	json_array_foreach(p->kernels, i, k) {
		status = "none";
		if (pr_is(k, "phase1_status", "existing"))
			status = "part";
		if (k == one || !strcmp(name_of(k), name_of(one)))
			status = row_status(p, k);
		json_array_append_new(rows, json_pack("{s:O, s:O, s:s}",
			"definition_name", json_object_get(k,
			"definition_name"), "op_type", json_object_get(k,
			"op_type"), "status", status));
	}
	return rows;
}

/* The page with this one row set; false: it cannot be made. */
static bool new_page(struct pr *p, const json_t *k, const json_t *possible,
		     const struct strbuf *page, struct strbuf *made_)
{
	struct strbuf why = STRBUF_INIT, arch = STRBUF_INIT;
	json_t *rows = rows_of(p, k), *names = json_object(), *v, *report;
	struct coverage c = { .slug = p->slug, .display = p->display,
			      .rows = rows, .possible = names };
	size_t i;

	json_array_foreach((json_t *)json_object_get(possible, "kernels"), i,
			   v)
		json_object_set(names, name_of(v), json_object_get(v,
								"op_type"));
	json_array_foreach(p->kernels, i, v)
		json_object_set(names, name_of(v), json_object_get(v,
								"op_type"));
	coverage_architecture(&arch, p->kernels);
	c.architecture = arch.buf;
	report = coverage_update(made_, page->buf, page->len, &c, &why);
	json_decref(rows);
	json_decref(names);
	strbuf_release(&why);
	strbuf_release(&arch);
	json_decref(report);
	return report;
}

static int put_diff(struct pr *p, const char *name, struct strbuf *err)
{
	struct strbuf was = STRBUF_INIT, is = STRBUF_INIT, out = STRBUF_INIT;
	struct proc proc = { .argv = (const char *[]){ "diff", "-u",
		"--label", "a/docs/model_coverage.mdx", "--label",
		"b/docs/model_coverage.mdx", NULL, NULL, NULL },
		.out = &out };
	int ret;

	strbuf_addf(&was, "%s/flashinfer-bench/docs/model_coverage.mdx",
		    p->root);
	strbuf_addf(&is, "%s/%s/coverage/docs/model_coverage.mdx", p->outbox,
		    name);
	((const char **)proc.argv)[6] = was.buf;
	((const char **)proc.argv)[7] = is.buf;
	ret = proc_run(&proc, err) > 1 ? -1 :
		pr_put(p, name, "coverage/model_coverage.diff", &out, err);
	strbuf_release(&was);
	strbuf_release(&is);
	strbuf_release(&out);
	return ret;
}

static int put_coverage_texts(struct pr *p, const json_t *k,
			      struct strbuf *err)
{
	const char *name = name_of(k), *op = json_get_str(k, "op_type");
	char *url = pr_url(p, name, "dataset"), *issue = pr_url(p, name,
								"issue");
	struct strbuf title = STRBUF_INIT, sb = STRBUF_INIT;
	struct strbuf commit = STRBUF_INIT;
	int ret;

	strbuf_addf(&title, "docs: mark %s as covered for %s\n", name,
		    p->display);
	strbuf_addf(&commit, "%s\nTracks the dataset addition at:\n" PR_LINK
		    "\n", title.buf);
	strbuf_addf(&sb, "## Summary\n- Marks `%s` (%s) as covered for **%s**"
		    " in\n  `docs/model_coverage.mdx`.\n- Definition JSON,"
		    " reference test, baseline solution, workloads, blobs,"
		    " and eval traces\n  all live in the HuggingFace dataset —"
		    " see " PR_LINK ".\n", name, op, p->display);
	if (pr_is(k, "fi_status", "fi_missing")) {
		const char *n = issue ? strrchr(issue, '/') : NULL;
		struct strbuf ref = STRBUF_INIT;

		strbuf_addf(&ref, "flashinfer-ai/flashinfer#%s",
			    n ? n + 1 : "(kernel request not filed yet)");
		strbuf_addf(&sb, "- ⚠️ FlashInfer kernel missing — tracking"
			    " issue: %s\n", ref.buf);
		strbuf_addf(&commit, "FlashInfer issue: %s\n", ref.buf);
		strbuf_release(&ref);
	}
	strbuf_addstr(&sb, "\n## Files changed\n- `docs/model_coverage.mdx`\n"
		      "\n## Linked PRs\n- HuggingFace dataset PR: " PR_LINK
		      "\n\n");
	pr_marker(&sb, p, "coverage", name);
	strbuf_addch(&sb, '\n');
	pr_link(&sb, url);
	pr_link(&commit, url);
	ret = pr_put(p, name, "coverage/TITLE", &title, err) ||
		pr_put(p, name, "coverage/COMMIT", &commit, err) ||
		pr_put(p, name, "coverage/BODY.md", &sb, err) ? -1 : 0;
	free(url);
	free(issue);
	strbuf_release(&title);
	strbuf_release(&sb);
	strbuf_release(&commit);
	return ret;
}

int pr_lay_coverage(struct pr *p, const json_t *k, const json_t *possible,
		    const struct strbuf *page, struct strbuf *err)
{
	const char *name = name_of(k);
	struct strbuf made_ = STRBUF_INIT, branch = STRBUF_INIT;
	json_t *it = pr_item(p, "coverage", name, name, "flashinfer_bench");
	json_t *checks = json_object_get(it, "checks");
	bool have = page && new_page(p, k, possible, page, &made_);
	int ret = put_coverage_texts(p, k, err);

	strbuf_addf(&branch, "feat/def-%s", name);
	json_object_set_new(it, "branch", json_string(branch.buf));
	if (!ret && have)
		ret = pr_put(p, name, "coverage/docs/model_coverage.mdx",
			     &made_, err) || put_diff(p, name, err) ? -1 : 0;
	pr_check_coverage(p, k, have ? page->buf : NULL, have ? made_.buf :
			  NULL, checks);
	if (have)
		pr_check_pre_commit(p, "flashinfer-bench",
				    "docs/model_coverage.mdx", &made_,
				    checks);
	strbuf_release(&made_);
	strbuf_release(&branch);
	return ret;
}
