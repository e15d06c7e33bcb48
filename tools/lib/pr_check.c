#include "pr.h"
#include "check.h"
#include "kernels.h"
#include "pr_files.h"

/* "make MODEL=SLUG WORDS" as the command that mends an item. */
static char *make_it(const struct pr *p, const char *words)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "make MODEL=%s %s", p->slug, words);
	return strbuf_detach(&sb);
}

static json_t *of_outbox(const struct pr *p, const char *name,
			 const char *rel)
{
	struct strbuf path = STRBUF_INIT, no = STRBUF_INIT;
	json_t *j;

	strbuf_addf(&path, "%s/%s/dataset/%s", p->outbox, name, rel);
	j = json_load_path(path.buf, JSON_MAX_CONFIG, &no);
	strbuf_release(&path);
	strbuf_release(&no);
	return j;
}

static json_t *definition_of(const struct pr *p, const json_t *k)
{
	struct strbuf rel = STRBUF_INIT;
	json_t *d;

	strbuf_addf(&rel, "definitions/%s/%s.json", json_get_str(k, "op_type"),
		    json_get_str(k, "definition_name"));
	d = of_outbox(p, json_get_str(k, "definition_name"), rel.buf);
	strbuf_release(&rel);
	return d;
}

static void check_json(const struct pr *p, const json_t *k, const json_t *d,
		       json_t *checks)
{
	char *mend = make_it(p, "PHASES=0,1,2 onboard");
	char *why = d ? check_made(d, json_get_str(k, "op_type"),
				   json_get_str(k, "definition_name")) : NULL;

	pr_check(checks, "Definition JSON", d && !why, mend, "%s", !d ?
		 "there is none" : why ? why : "it is there and valid");
	free(why);
	free(mend);
}

static bool has_tag(const json_t *tags, const char *head)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)tags, i, v)
		if (json_is_string(v) && !strncmp(json_string_value(v), head,
						  strlen(head)))
			return true;
	return false;
}

static void check_tags(const struct pr *p, const json_t *k, const json_t *d,
		       json_t *checks)
{
	const json_t *tags = json_object_get(d, "tags");
	bool missing = pr_is(k, "fi_status", "fi_missing");
	bool plain = pr_is(k, "fi_status", "n/a");
	const char *want = missing ? "status:unverified" : "status:";
	char *mend = make_it(p, "PHASES=0,1,2 onboard");
	const char *lacks = NULL;

	if (!has_tag(tags, want))
		lacks = want;
	else if (!missing && !plain && !has_tag(tags, "fi_api:"))
		lacks = "fi_api:";
	else if (json_array_size(json_object_get(k, "tp")) > 1 &&
		 !has_tag(tags, "tp:"))
		lacks = "tp:";
	pr_check(checks, "Definition tags", !lacks, mend, "%s%s", lacks ?
		 "no tag begins with " : "status, fi_api, tp and ep as needed",
		 lacks ? lacks : "");
	free(mend);
}

/* pytest's last line tells how it ended. */
static void check_test(const struct pr *p, const char *name, json_t *checks)
{
	struct strbuf log = STRBUF_INIT;
	char *mend = make_it(p, "reftests");
	const char *last;
	bool green;

	pr_pytest(p, name, &log);
	last = strrchr(log.buf, '\n');
	last = last ? last + 1 : log.buf;
	green = strstr(last, " passed") && !strstr(last, "failed") &&
		!strstr(last, "error");
	pr_check(checks, "Reference test", green, mend, "%s", !log.len ?
		 "pytest was not run (it needs PyTorch)" : last);
	free(mend);
	strbuf_release(&log);
}

static bool same_axis(const json_t *lines, const char *axis, json_int_t *value)
{
	json_t *l;
	size_t i;

	json_array_foreach((json_t *)lines, i, l) {
		json_int_t v = json_integer_value(json_object_get(
			json_object_get(json_object_get(l, "workload"),
					"axes"), axis));

		if (!i)
			*value = v;
		else if (v != *value)
			return false;
	}
	return true;
}

/*
 * Real serving has diverse batches. Several workloads of one size, or only
 * contexts of one page, come from a sweep that somebody made up.
 */
static const char *looks_synthetic(const json_t *lines)
{
	const json_t *axes = json_object_get(json_object_get(json_array_get(
				lines, 0), "workload"), "axes");
	json_int_t v, w;
	const char *axis;
	bool all = true;
	json_t *x;
	size_t i;

	if (json_array_size(lines) < 3)
		return NULL;
	json_object_foreach((json_t *)axes, axis, x)
		all &= same_axis(lines, axis, &v);
	if (all && json_object_size(axes))
		return "all workloads have the same axes";
	if (!json_object_get(axes, "batch_size") ||
	    !json_object_get(axes, "num_kv_indices"))
		return NULL;
	json_array_foreach((json_t *)lines, i, x) {
		axes = json_object_get(json_object_get(x, "workload"), "axes");
		v = json_integer_value(json_object_get(axes, "batch_size"));
		w = json_integer_value(json_object_get(axes,
						       "num_kv_indices"));
		if (v != w)
			return NULL;
	}
	return "all contexts are one page long";
}

/* Whether these workloads are (also) of the simulated engine's tree. */
static bool is_simulated(const struct pr *p, const json_t *k,
			 const json_t *lines)
{
	struct strbuf tree = STRBUF_INIT;
	json_t *sim, *l, *s;
	size_t i, j;
	bool yes = false;

	strbuf_addf(&tree, "sim-trace/%s", p->slug);
	sim = pr_workloads(p, tree.buf, json_get_str(k, "op_type"),
			   json_get_str(k, "definition_name"));
	strbuf_release(&tree);
	/* uuids are of the content: the same one is the same workload */
	json_array_foreach(sim, i, s)
		json_array_foreach((json_t *)lines, j, l)
			yes |= json_equal(json_object_get(json_object_get(l,
					"workload"), "uuid"), json_object_get(
					json_object_get(s, "workload"),
					"uuid"));
	json_decref(sim);
	return yes;
}

static void check_blobs(const struct pr *p, const json_t *k,
			const json_t *lines, json_t *checks)
{
	const char *name = json_get_str(k, "definition_name");
	json_t *blobs = pr_blobs(p, json_get_str(k, "op_type"), name), *v;
	char *mend = make_it(p, "workloads");
	const char *gone = NULL;
	size_t i;

	json_array_foreach(blobs, i, v) {
		struct strbuf path = STRBUF_INIT;

		strbuf_addf(&path, "%s/%s/dataset/%s", p->outbox, name,
			    json_string_value(v));
		if (access(path.buf, R_OK))
			gone = json_string_value(v);
		strbuf_release(&path);
	}
	if (!json_array_size(lines))
		pr_check(checks, "Blobs", 0, mend, "there are no workloads");
	else if (!json_array_size(blobs))
		pr_check(checks, "Blobs", PR_NONE, NULL,
			 "no workload needs one");
	else if (gone)
		pr_check(checks, "Blobs", 0, mend, "%s is missing", gone);
	else
		pr_check(checks, "Blobs", 1, NULL, "%zu are there",
			 json_array_size(blobs));
	json_decref(blobs);
	free(mend);
}

/* One of the APIs that the op's folder names. */
static bool calls_flashinfer(const struct pr *p, const json_t *k,
			     const char *text)
{
	struct strbuf no = STRBUF_INIT;
	struct kernel_template t;
	bool yes = false;
	json_t *v;
	size_t i;

	if (!kernel_template_load(&t, p->kernels_dir, json_get_str(k,
			"op_type"), json_get_str(k, "template"), &no)) {
		json_array_foreach(json_object_get(t.json, "fi_api"), i, v) {
			const char *api = json_string_value(v);
			const char *last = api ? strrchr(api, '.') : NULL;

			yes |= last && strstr(text, last + 1);
		}
		kernel_template_release(&t);
	}
	strbuf_release(&no);
	return yes;
}

/* A solution that calls FlashInfer, and is not the reference again. */
static void check_baseline(const struct pr *p, const json_t *k,
			   const json_t *d, json_t *checks)
{
	const char *name = json_get_str(k, "definition_name");
	const char *text = NULL, *why = NULL;
	char *mend = make_it(p, "PHASES=0,1,2 onboard");
	struct strbuf rel = STRBUF_INIT;
	json_t *s;

	strbuf_addf(&rel, "solutions/baseline/%s/%s/flashinfer_wrapper_%s.json",
		    json_get_str(k, "op_type"), name, name);
	s = of_outbox(p, name, rel.buf);
	text = json_get_str(json_array_get(json_object_get(s, "sources"), 0),
			    "content");
	if (!text)
		why = "there is none";
	else if (json_get_str(d, "reference") &&
		 !strcmp(text, json_get_str(d, "reference")))
		why = "it is a copy of the reference";
	else if (json_get_str(k, "fi_api") && !calls_flashinfer(p, k, text))
		why = "it does not call the FlashInfer API of its op";
	pr_check(checks, "Baseline solution", !why, mend, "%s",
		 why ? why : "it wraps FlashInfer");
	json_decref(s);
	free(mend);
	strbuf_release(&rel);
}

static void check_traces(const struct pr *p, const json_t *k,
			 const json_t *lines, json_t *checks)
{
	const char *name = json_get_str(k, "definition_name"), *why = NULL;
	const char *op = json_get_str(k, "op_type"), *s, *nl;
	struct strbuf path = STRBUF_INIT, sb = STRBUF_INIT_MAX(1 << 28);
	struct strbuf no = STRBUF_INIT, mend = STRBUF_INIT;
	json_t *seen = json_object(), *j, *l;
	size_t n = 0, bad = 0, missing = 0, i;

	strbuf_addf(&path, "%s/%s/dataset/traces/baseline/%s/%s.jsonl",
		    p->outbox, name, op, name);
	strbuf_read_file(&sb, path.buf, &no);
	for (s = sb.buf; *s; s = *nl ? nl + 1 : nl) {
		nl = s + strcspn(s, "\n");
		if (nl == s)
			continue;
		j = json_parse(s, (size_t)(nl - s), "a trace", &no);
		n++;
		bad += !pr_is(json_object_get(j, "evaluation"), "status",
			      "PASSED");
		if (json_get_str(json_object_get(j, "workload"), "uuid"))
			json_object_set_new(seen, json_get_str(json_object_get(
				j, "workload"), "uuid"), json_true());
		json_decref(j);
	}
	json_array_foreach((json_t *)lines, i, l) {
		const char *uuid = json_get_str(json_object_get(l,
						"workload"), "uuid");

		missing += !uuid || !json_object_get(seen, uuid);
	}
	strbuf_addf(&mend, "make traces DEFINITIONS=%s"
		    " EVAL_FLAGS=--solutions=baseline, where there is a GPU", name);
	if (!n)
		why = "there are none";
	pr_check(checks, "Eval traces", n && !bad && !missing, mend.buf,
		 why ? "%s" : "%s%zu traces, %zu not PASSED, %zu workloads"
		 " without one", why ? why : "", n, bad, missing);
	json_decref(seen);
	strbuf_release(&path);
	strbuf_release(&sb);
	strbuf_release(&no);
	strbuf_release(&mend);
}

static void check_log(const struct pr *p, const json_t *k,
		      const json_t *lines, json_t *checks)
{
	const char *name = json_get_str(k, "definition_name");
	const char *why = looks_synthetic(lines), *engine;
	char *mend = make_it(p, "workloads, where there is a GPU and SGLang");
	struct strbuf log = STRBUF_INIT;
	char *folder = NULL;
	json_t *s = pr_session(p, name, &folder);

	pr_collection_log(p, name, &log);
	engine = json_get_str(s, "engine");
	if ((engine && !strcmp(engine, "sim")) || is_simulated(p, k, lines))
		why = "the workloads are of the simulated engine, which is"
			" never published";
	else if (!json_array_size(lines))
		why = "there are no workloads";
	else if (!log.len)
		why = "no log tells how the workloads were collected";
	pr_check(checks, "SGLang log", !why, mend, "%s", why ? why :
		 "it is in the body; the workloads are of a serving engine");
	json_decref(s);
	free(mend);
	free(folder);
	strbuf_release(&log);
}

static void check_provenance(const struct pr *p, bool needs_entries,
			     size_t entries, json_t *checks)
{
	const char *why = NULL;
	char *mend = make_it(p, "HF_REPO_ID=ORG/NAME onboard (SOURCE=git for"
			     " commits)");

	if (!strcmp(p->hub_id, "not known"))
		why = "the model's Hub id is not known";
	else if (!strcmp(pr_id(p, "sglang"), "not known") ||
		 !strcmp(pr_id(p, "flashinfer"), "not known"))
		why = "SGLang's or FlashInfer's commit is not known";
	else if (needs_entries && !entries)
		why = "there are no workload entries to count";
	pr_check(checks, "Provenance", !why, mend, "%s", why ? why :
		 "model, SGLang, FlashInfer and entries are named");
	free(mend);
}

void pr_check_dataset(struct pr *p, const json_t *k, json_t *checks)
{
	static const char *const later[] = { "Workloads", "Blobs",
		"Baseline solution", "Eval traces", "SGLang log" };
	const char *name = json_get_str(k, "definition_name");
	bool missing = pr_is(k, "fi_status", "fi_missing");
	json_t *d = definition_of(p, k), *lines = pr_workloads(p,
		"flashinfer-trace", json_get_str(k, "op_type"), name);
	size_t n = json_array_size(lines), i;
	char *mend = make_it(p, "workloads");

	check_json(p, k, d, checks);
	check_tags(p, k, d, checks);
	check_test(p, name, checks);
	for (i = 0; missing && i < ARRAY_SIZE(later); i++)
		pr_check(checks, later[i], PR_NONE, NULL, "FlashInfer has no"
			 " kernel for it yet");
	if (!missing) {
		pr_check(checks, "Workloads", n > 0, mend, "%zu lines", n);
		check_blobs(p, k, lines, checks);
		check_baseline(p, k, d, checks);
		check_traces(p, k, lines, checks);
		check_log(p, k, lines, checks);
	}
	check_provenance(p, !missing, n, checks);
	free(mend);
	json_decref(d);
	json_decref(lines);
}
