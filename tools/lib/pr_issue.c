#include "pr.h"
#include "kernels.h"

/* The model's file in SGLang, by the config's architectures. */
static char *model_file(const struct pr *p)
{
	struct strbuf path = STRBUF_INIT, no = STRBUF_INIT;
	json_t *index, *models, *v;
	const char *file = NULL;
	char *name;
	size_t i;

	strbuf_addf(&path, "%s/sglang.json", p->index);
	index = json_load_path(path.buf, JSON_MAX_INDEX, &no);
	models = json_object_get(index, "models");
	json_array_foreach(json_object_get(p->config, "architectures"), i, v)
		if (!file && json_is_string(v))
			file = json_get_str(json_object_get(models,
					    json_string_value(v)), "file");
	name = xstrdup(!file ? "not known" : strrchr(file, '/') ?
		       strrchr(file, '/') + 1 : file);
	json_decref(index);
	strbuf_release(&path);
	strbuf_release(&no);
	return name;
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

static int put_text(struct pr *p, const char *name, const char *file,
		    struct strbuf *err, const char *fmt, ...) PRINTF(5, 6);
static int put_text(struct pr *p, const char *name, const char *file,
		    struct strbuf *err, const char *fmt, ...)
{
	struct strbuf sb = STRBUF_INIT;
	va_list ap;
	int ret;

	va_start(ap, fmt);
	strbuf_vaddf(&sb, fmt, ap);
	va_end(ap);
	ret = pr_put(p, name, file, &sb, err);
	strbuf_release(&sb);
	return ret;
}

static int put_body(struct pr *p, const char *name, const char *kind,
		    const char *key, struct strbuf *body, struct strbuf *err)
{
	struct strbuf file = STRBUF_INIT;
	char *url = pr_url(p, name, "dataset");
	int ret;

	pr_link(body, url);
	strbuf_addch(body, '\n');
	pr_marker(body, p, kind, key);
	strbuf_addch(body, '\n');
	strbuf_addf(&file, "%s/BODY.md", kind);
	ret = pr_put(p, name, file.buf, body, err);
	free(url);
	strbuf_release(&file);
	return ret;
}

int pr_lay_issue(struct pr *p, const json_t *k, struct strbuf *err)
{
	const char *name = json_get_str(k, "definition_name");
	const char *op = json_get_str(k, "op_type"), *layer, *api;
	struct strbuf sb = STRBUF_INIT;
	struct kernel_template t;
	char *file;
	json_t *def = kernel_definition_for(p->kernels_dir, k, p->slug,
					    p->display, err);
	int ret;

	if (!def || kernel_template_load(&t, p->kernels_dir, op,
					 json_get_str(k, "template"), err)) {
		json_decref(def);
		return -1;
	}
	layer = json_get_str(t.json, "layer");
	api = json_string_value(json_array_get(json_object_get(t.json,
					       "fi_api"), 0));
	file = model_file(p);
	strbuf_addf(&sb, "## Kernel Request\n\n**Model**: %s (%s)\n"
		    "**Op type**: %s\n**Definition name**: %s\n\n"
		    "### Motivation\n\n"
		    "This kernel is required for serving **%s** with"
		    " FlashInfer.\n"
		    "A FlashInfer-Bench definition has been staged at:\n"
		    "`tmp/flashinfer-trace/definitions/%s/%s.json`\n"
		    "(landing in the HuggingFace dataset PR for"
		    " `flashinfer-ai/flashinfer-trace`)\n\n"
		    "### Kernel Parameters\n\n", p->display, p->hub_id, op,
		    name, p->display, op, name);
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
		    "- HuggingFace dataset PR: " PR_LINK "\n"
		    "- SGLang model: `tmp/sglang/python/sglang/srt/models/%s`"
		    "\n- HuggingFace model: https://huggingface.co/%s\n",
		    layer ? layer : "layers/(not known)",
		    api ? api : "flashinfer.(not known)", op, file,
		    p->hub_id);
	ret = put_text(p, name, "issue/TITLE", err,
		       "Kernel request: %s for %s\n", op, p->slug) ||
		put_text(p, name, "issue/LABELS", err,
			 "enhancement,kernel-request\n") ||
		put_body(p, name, "issue", name, &sb, err) ? -1 : 0;
	pr_item(p, "issue", name, name, "flashinfer");
	kernel_template_release(&t);
	json_decref(def);
	free(file);
	strbuf_release(&sb);
	return ret;
}

int pr_lay_trace_template(struct pr *p, const json_t *k, struct strbuf *err)
{
	const char *name = json_get_str(k, "definition_name");
	const char *op = json_get_str(k, "op_type");
	const char *api = json_get_str(k, "fi_api");
	struct strbuf sb = STRBUF_INIT;
	int ret;

	if (!api)
		return 0;
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
		    "- Used by: %s (%s).\n\n", api, p->display, api, op, name,
		    p->display, p->hub_id);
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
	ret = put_text(p, name, "trace-template/TITLE", err,
		       "trace: add @flashinfer_api(trace=...) for %s\n",
		       api) ||
		put_text(p, name, "trace-template/LABELS", err,
			 "enhancement,flashinfer-trace\n") ||
		put_body(p, name, "trace-template", api, &sb, err) ? -1 : 0;
	pr_item(p, "trace-template", api, name, "flashinfer");
	strbuf_release(&sb);
	return ret;
}
