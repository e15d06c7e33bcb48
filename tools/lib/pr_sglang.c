#include "pr.h"
#include "kernels.h"
#include "outfile.h"
#include "proc.h"
#include "pytok.h"

#include <ctype.h>

/*
 * Where the imports at the top of a module end, as an offset into it: behind
 * the last import statement that stands before the first def or class.
 */
static size_t end_of_imports(const char *src, size_t len)
{
	struct pytok tz;
	struct py_token t;
	const char *end = src;
	bool begins = true, import = false;

	pytok_init(&tz, src, len);
	for (pytok_next(&tz, &t); t.kind != PY_EOF && t.kind != PY_ERROR;
	     pytok_next(&tz, &t)) {
		if (t.kind == PY_INDENT || t.kind == PY_DEDENT)
			continue;
		if (begins && tz.levels == 1 && t.kind == PY_NAME) {
			import = py_is(&t, "import") || py_is(&t, "from");
			if (py_is(&t, "def") || py_is(&t, "class") ||
			    py_is(&t, "async"))
				break;
		} else if (begins && tz.levels == 1 && t.kind == PY_OP &&
			   py_is(&t, "@")) {
			break;
		}
		begins = t.kind == PY_NEWLINE;
		if (begins && import) {
			end = t.s + strcspn(t.s, "\n");
			end += *end == '\n';
			import = false;
		}
	}
	return (size_t)(end - src);
}

static char *upper(const char *s)
{
	char *u = xstrdup(s), *c;

	for (c = u; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return u;
}

/* Import guard and dispatch of one API, as the contract shows them. */
static void add_guard(struct strbuf *sb, const char *api, const json_t *def)
{
	const char *last = strrchr(api, '.') + 1, *name;
	bool class = isupper((unsigned char)*last);
	char *big = upper(last);
	json_t *v;

	strbuf_addf(sb, "\ntry:\n    from %.*s import %s as flashinfer_%s\n\n"
		    "    FLASHINFER_%s_AVAILABLE = True\n"
		    "except ImportError:\n"
		    "    FLASHINFER_%s_AVAILABLE = False\n",
		    (int)(last - 1 - api), api, last, last, big, big);
	strbuf_addf(sb, "\n\n# DRAFT: call this where the layer computes it"
		    " now, and pass what stands\n# there as vanilla_forward;"
		    " names are those of the kernel's definition.\n"
		    "def forward_flashinfer_%s(\n", last);
	if (class)
		strbuf_addstr(sb, "    workspace,\n");
	json_object_foreach(json_object_get(def, "inputs"), name, v)
		strbuf_addf(sb, "    %s,\n", name);
	strbuf_addf(sb, "    *,\n    use_flashinfer,\n    vanilla_forward,\n"
		    "):\n    if FLASHINFER_%s_AVAILABLE and use_flashinfer:\n"
		    "        return flashinfer_%s(%s\n", big, last,
		    class ? "workspace).run(" : "");
	json_object_foreach(json_object_get(def, "inputs"), name, v)
		strbuf_addf(sb, "            %s,\n", name);
	strbuf_addstr(sb, "        )\n    else:\n        return"
		      " vanilla_forward(\n");
	json_object_foreach(json_object_get(def, "inputs"), name, v)
		strbuf_addf(sb, "            %s,\n", name);
	strbuf_addstr(sb, "        )\n\n");
	free(big);
}

/* ---- the group of one op_type ---- */

struct group {
	const char *op;
	json_t *names;		/* definitions */
	json_t *files;		/* layer file -> {api: definition} */
	json_t *apis;
};

static void add_kernel(struct pr *p, struct group *g, const json_t *k)
{
	const char *api = json_get_str(k, "fi_api"), *layer;
	struct strbuf no = STRBUF_INIT;
	struct kernel_template t;
	json_t *def, *apis;

	if (!api || !strrchr(api, '.') ||
	    kernel_template_load(&t, p->kernels_dir, g->op,
				 json_get_str(k, "template"), &no)) {
		strbuf_release(&no);
		return;
	}
	layer = json_get_str(t.json, "layer");
	def = kernel_definition_for(p->kernels_dir, k, p->slug, p->display,
				    &no);
	json_array_add(g->names, json_get_str(k, "definition_name"));
	json_array_add(g->apis, api);
	if (layer && def) {
		apis = json_object_get(g->files, layer);
		if (!apis) {
			apis = json_object();
			json_object_set_new(g->files, layer, apis);
		}
		if (!json_object_get(apis, api))
			json_object_set(apis, api, def);
	}
	json_decref(def);
	kernel_template_release(&t);
	strbuf_release(&no);
}

/* The layer file with what is to be put into it; false: it is not at hand. */
static bool patched(const struct pr *p, const char *path, const json_t *apis,
		    struct strbuf *out)
{
	struct strbuf full = STRBUF_INIT, src = STRBUF_INIT_MAX(16 << 20);
	struct strbuf no = STRBUF_INIT;
	const char *api;
	json_t *def;
	bool ok;
	size_t at;

	strbuf_addf(&full, "%s/sglang/%s", p->root, path);
	ok = !strbuf_read_file(&src, full.buf, &no);
	if (ok) {
		at = end_of_imports(src.buf, src.len);
		strbuf_add(out, src.buf, at);
		json_object_foreach((json_t *)apis, api, def)
			add_guard(out, api, def);
		/* one blank line less where the source has its own */
		while (src.buf[at] == '\n' && at + 1 < src.len)
			at++;
		strbuf_addch(out, '\n');
		strbuf_add(out, src.buf + at, src.len - at);
	}
	strbuf_release(&full);
	strbuf_release(&src);
	strbuf_release(&no);
	return ok;
}

static int git(const struct pr *p, const char *in, size_t in_len,
	       struct strbuf *out, const char *const *words)
{
	struct strbuf dir = STRBUF_INIT, index = STRBUF_INIT, no = STRBUF_INIT;
	struct strbuf errs = STRBUF_INIT;
	const char *argv[24];
	struct proc proc = { .argv = argv, .in = in, .in_len = in_len,
			     .out = out, .errs = &errs };
	size_t n = 0;
	int ret;

	strbuf_addf(&dir, "%s/sglang", p->root);
	strbuf_addf(&index, "GIT_INDEX_FILE=/tmp/onboard-index.%ld",
		    (long)getpid());
	argv[n++] = "env";
	argv[n++] = index.buf;
	while (*words && strchr(*words, '=') && isupper((unsigned char)**words))
		argv[n++] = *words++;
	argv[n++] = "git";
	argv[n++] = "-C";
	argv[n++] = dir.buf;
	while (*words && n + 1 < ARRAY_SIZE(argv))
		argv[n++] = *words++;
	argv[n] = NULL;
	ret = proc_run(&proc, &no);
	if (out)
		strbuf_rtrim(out);
	strbuf_release(&dir);
	strbuf_release(&index);
	strbuf_release(&no);
	strbuf_release(&errs);
	return ret;
}
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/*
 * The patched files as a commit on HEAD, on a branch of that name, without
 * touching the work tree; its patch. The commit is HEAD's date, so that the
 * same inputs have the same id.
 */
static int commit_on_branch(const struct pr *p, const json_t *files,
			    const char *branch, const struct strbuf *message,
			    struct strbuf *patch)
{
	struct strbuf lines = STRBUF_INIT, sha = STRBUF_INIT;
	struct strbuf date = STRBUF_INIT, a = STRBUF_INIT, c = STRBUF_INIT;
	struct strbuf ref = STRBUF_INIT, index = STRBUF_INIT;
	const char *path;
	json_t *text;
	int bad;

	bad = git(p, NULL, 0, &date, WORDS("log", "-1", "--format=%cI",
					   "HEAD")) ||
		git(p, NULL, 0, NULL, WORDS("read-tree", "HEAD"));
	json_object_foreach((json_t *)files, path, text) {
		strbuf_reset(&sha);
		bad = bad || git(p, json_string_value(text),
				 json_string_length(text), &sha,
				 WORDS("hash-object", "-w", "--stdin"));
		strbuf_addf(&lines, "100644 %s\t%s\n", sha.buf, path);
	}
	strbuf_reset(&sha);
	bad = bad || git(p, lines.buf, lines.len, NULL,
			 WORDS("update-index", "--index-info")) ||
		git(p, NULL, 0, &sha, WORDS("write-tree", "--missing-ok"));
	strbuf_addf(&a, "GIT_AUTHOR_DATE=%s", date.buf);
	strbuf_addf(&c, "GIT_COMMITTER_DATE=%s", date.buf);
	strbuf_reset(&lines);
	bad = bad || git(p, message->buf, message->len, &lines, WORDS(a.buf,
		c.buf, "-c", "user.name=onboard", "-c",
		"user.email=onboard@localhost", "commit-tree", "-p", "HEAD",
		sha.buf));
	strbuf_addf(&ref, "refs/heads/%s", branch);
	bad = bad || git(p, NULL, 0, NULL, WORDS("update-ref", ref.buf,
						 lines.buf)) ||
		git(p, NULL, 0, patch, WORDS("format-patch", "--stdout", "-1",
					     "--no-signature", "--full-index",
					     lines.buf));
	strbuf_addf(&index, "/tmp/onboard-index.%ld", (long)getpid());
	unlink(index.buf);
	strbuf_release(&lines);
	strbuf_release(&sha);
	strbuf_release(&date);
	strbuf_release(&a);
	strbuf_release(&c);
	strbuf_release(&ref);
	strbuf_release(&index);
	return bad ? -1 : 0;
}

static char *joined(const json_t *strings, const char *between)
{
	struct strbuf sb = STRBUF_INIT;
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)strings, i, v)
		strbuf_addf(&sb, "%s%s", i ? between : "",
			    json_string_value(v));
	return strbuf_detach(&sb);
}

static void texts(const struct pr *p, const struct group *g,
		  struct strbuf *title, struct strbuf *commit,
		  struct strbuf *body)
{
	char *apis = joined(g->apis, ", "), *code = joined(g->apis, "`, `");
	const char *path;
	json_t *v;

	strbuf_addf(title, "feat: integrate FlashInfer %s for %s\n", g->op,
		    p->slug);
	strbuf_addf(commit, "%s\nWire %s into SGLang's FlashInfer backend to"
		    " enable\noptimized %s for %s.\n\nNeeded for:"
		    " flashinfer-ai/flashinfer-bench (workload collection)\n"
		    "FlashInfer API: %s\n", title->buf, apis, g->op,
		    p->display, apis);
	strbuf_addf(body, "## Summary\n\n- Integrates `%s` into SGLang's"
		    " FlashInfer backend\n- Enables optimized `%s` kernel for"
		    " **%s**\n- Required by flashinfer-ai/flashinfer-bench for"
		    " workload collection\n\n## Changes\n\n", code, g->op,
		    p->display);
	json_object_foreach(g->files, path, v)
		strbuf_addf(body, "- `python/sglang/srt/%s`: add FlashInfer"
			    " dispatch for %s\n", path, g->op);
	if (!json_object_size(g->files))
		strbuf_addf(body, "- `python/sglang/srt/layers/(not known)`:"
			    " add FlashInfer dispatch for %s\n", g->op);
	strbuf_addstr(body, "\n## Test plan\n\n- [ ] SGLang unit test passes"
		      " with `--attention-backend flashinfer`\n- [ ] Inference"
		      " output matches non-FlashInfer baseline\n- [ ] Memory"
		      " usage within expected bounds\n\n");
	pr_marker(body, p, "sglang", g->op);
	strbuf_addch(body, '\n');
	free(apis);
	free(code);
}

static int put_group(struct pr *p, const struct group *g, struct strbuf *err)
{
	struct strbuf title = STRBUF_INIT, commit = STRBUF_INIT;
	struct strbuf body = STRBUF_INIT, branch = STRBUF_INIT;
	struct strbuf patch = STRBUF_INIT, text = STRBUF_INIT;
	struct strbuf path = STRBUF_INIT;
	json_t *files = json_object(), *v, *it = NULL, *checks;
	const char *layer;
	size_t i;
	int ret = 0;

	texts(p, g, &title, &commit, &body);
	strbuf_addf(&branch, "feat/flashinfer-%s-integration-%s", g->op,
		    p->slug);
	json_object_foreach(g->files, layer, v) {
		strbuf_reset(&text);
		strbuf_reset(&path);
		strbuf_addf(&path, "python/sglang/srt/%s", layer);
		if (patched(p, path.buf, v, &text))
			json_object_set_new(files, path.buf, json_stringn(
					    text.buf, text.len));
	}
	if (json_object_size(files) && pr_is(json_object_get(p->repos,
			"sglang"), "kind", "git") &&
	    commit_on_branch(p, files, branch.buf, &commit, &patch))
		strbuf_reset(&patch);
	if (patch.len)
		strbuf_addch(&patch, '\n');
	strbuf_addch(&branch, '\n');
	json_array_foreach(g->names, i, v) {
		const char *name = json_string_value(v), *file;
		json_t *data;

		it = pr_item(p, "sglang", g->op, name, "sglang");
		ret = ret || pr_put(p, name, "sglang/TITLE", &title, err) ||
			pr_put(p, name, "sglang/COMMIT", &commit, err) ||
			pr_put(p, name, "sglang/BODY.md", &body, err) ||
			pr_put(p, name, "sglang/BRANCH", &branch, err) ||
			(patch.len && pr_put(p, name, "sglang/sglang.patch",
					     &patch, err));
		json_object_foreach(files, file, data) {
			strbuf_reset(&path);
			strbuf_reset(&text);
			strbuf_addf(&path, "sglang/%s", file);
			strbuf_add(&text, json_string_value(data),
				   json_string_length(data));
			ret = ret || pr_put(p, name, path.buf, &text, err);
		}
	}
	strbuf_rtrim(&branch);
	json_object_set_new(it, "branch", json_string(branch.buf));
	json_object_set_new(it, "draft", json_true());
	checks = json_object_get(it, "checks");
	pr_check(checks, "Patch", json_object_size(files) > 0,
		 "make SOURCE=git onboard", json_object_size(files) ?
		 "%zu file(s), a draft to be finished by a person" :
		 "the source of SGLang is not at hand",
		 json_object_size(files));
	json_object_foreach(files, layer, v) {
		strbuf_reset(&text);
		strbuf_addstr(&text, json_string_value(v));
		pr_check_pre_commit(p, "sglang", layer, &text, checks);
	}
	json_decref(files);
	strbuf_release(&title);
	strbuf_release(&commit);
	strbuf_release(&body);
	strbuf_release(&branch);
	strbuf_release(&patch);
	strbuf_release(&text);
	strbuf_release(&path);
	return ret ? -1 : 0;
}

/* Workloads are still to be collected, and SGLang does not call the kernel. */
static bool is_paused(const json_t *k, const json_t *workloads)
{
	return pr_is(k, "sgl_status", "sgl_missing") &&
		!json_object_get(workloads, json_get_str(k,
							"definition_name"));
}

int pr_lay_sglang(struct pr *p, struct strbuf *err)
{
	json_t *ops = json_array(), *op, *k, *index, *workloads;
	struct strbuf path = STRBUF_INIT;
	size_t i, j;
	int ret;

	strbuf_addf(&path, "%s/flashinfer_trace.json", p->index);
	index = json_load_path(path.buf, JSON_MAX_INDEX, err);
	ret = index ? 0 : -1;
	workloads = json_object_get(index, "workloads");
	json_array_foreach(p->kernels, i, k)
		if (is_paused(k, workloads))
			json_array_add(ops, json_get_str(k, "op_type"));
	json_array_foreach(ops, i, op) {
		struct group g = { .op = json_string_value(op),
			.names = json_array(), .files = json_object(),
			.apis = json_array() };

		json_array_foreach(p->kernels, j, k)
			if (pr_is(k, "op_type", g.op) &&
			    is_paused(k, workloads))
				add_kernel(p, &g, k);
		if (!ret && json_array_size(g.names))
			ret = put_group(p, &g, err);
		json_decref(g.names);
		json_decref(g.files);
		json_decref(g.apis);
	}
	json_decref(ops);
	json_decref(index);
	strbuf_release(&path);
	return ret;
}
