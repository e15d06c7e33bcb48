/*
 * mksol - our CUDA kernels as solutions: for each definition whose template
 * has a .cu, its sources with this definition's constants, the Solution JSON
 * that flashinfer-bench builds, and the rules that build a shared object. And
 * what they are compared with beside the baseline: kernels in Triton, where the
 * template has a _triton.py.
 */
#include "lib/die.h"
#include "lib/evalplan.h"
#include "lib/opt.h"
#include "lib/outfile.h"
#include "lib/wltarget.h"

#include <ctype.h>
#include <dirent.h>

static const char *dataset, *kernels_dir = "kernels", *to = "tmp/gpu";

static const struct tool tool = {
	"--dataset=DIR [--to=DIR] [DEFINITION...]",
	"Write our CUDA kernels as solutions of these definitions (default: all).",
	"DATASET/definitions, the catalogue's .cu files",
	"DATASET/solutions/onboard/OP/NAME/onboard_cuda_NAME.json,\n"
	"        DATASET/solutions/triton/OP/NAME/triton_NAME.json,\n"
	"        TO/src/NAME/*, TO/kernels.mk, TO/none.txt (definitions without one)"
};

static const struct option options[] = {
	OPT_STR('d', "dataset", &dataset, "DIR", "a flashinfer-trace tree"),
	OPT_STR('k', "kernels", &kernels_dir, "DIR", "the catalogue [kernels]"),
	OPT_STR('t', "to", &to, "DIR", "sources and rules [tmp/gpu]"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT, rules = STRBUF_INIT, none = STRBUF_INIT;
static struct strbuf all = STRBUF_INIT;

/* A source file keeps its time when its text is the same: nvcc is slow. */
static void write_changed(const char *path, const char *s, size_t len)
{
	struct strbuf had = STRBUF_INIT, no = STRBUF_INIT;

	if (access(path, F_OK) || strbuf_read_file(&had, path, &no) ||
	    had.len != len || memcmp(had.buf, s, len))
		if (outfile_write(path, s, len, &err))
			die(EX_AGAIN, "%s", err.buf);
	strbuf_release(&had);
	strbuf_release(&no);
}

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* The number that a line "NAME = 1e-6" of the reference gives, any case; to num. */
static const char *assigned(const json_t *def, const char *definition,
			    const char *name, char *num, size_t size)
{
	size_t n = strlen(name);
	const char *reference = json_get_str(def, "reference"), *s, *v;
	char *end;

	for (s = reference; *s; s++) {
		if (strncasecmp(s, name, n) || word_char(s[n]) ||
		    (s > reference && word_char(s[-1])))
			continue;
		v = s + n + strspn(s + n, " \t");
		if (*v != '=' || v[1] == '=')
			continue;
		strtod(v + 1, &end);
		if (end == v + 1 || word_char(*end))
			continue;
		v += 1 + strspn(v + 1, " \t");
		snprintf(num, size, "%.*s", (int)(end - v), v);
		return num;
	}
	die(EX_REFUSED, "%s: its reference does not say what %s is", definition, name);
}

/* P_<param> for every one that the source names. */
static void add_params(struct strbuf *sb, const char *source,
		       const json_t *params, const json_t *def, const char *name)
{
	json_t *seen = json_array();
	const char *s, *end;

	for (s = source; (s = strstr(s, "P_")); s = end) {
		char *param, num[64];
		const json_t *v;

		for (end = s + 2; word_char(*end); end++)
			;
		if (end == s + 2 || (s > source && word_char(s[-1])))
			continue;
		param = xstrndup(s + 2, (size_t)(end - s - 2));
		v = json_object_get(params, param);
		if (!json_array_has(seen, param)) {
			json_array_add(seen, param);
			if (json_is_integer(v))
				strbuf_addf(sb, "#define P_%s %lld\n", param,
					    (long long)json_integer_value(v));
			else
				strbuf_addf(sb, "#define P_%s %s\n", param,
					    assigned(def, name, param, num, sizeof num));
		}
		free(param);
	}
	json_decref(seen);
}

static void add_args(struct strbuf *sb, const json_t *def)
{
	static const char *const sides[] = { "inputs", "outputs" };
	json_t *spec;
	const char *name;
	int side, n = 0;

	for (side = 0; side < 2; side++)
		json_object_foreach(json_object_get(def, sides[side]), name, spec)
			strbuf_addf(sb, "#define ARG_%s %d\n#define TYPE_%s ob_%s\n",
				    name, n++, name, json_get_str(spec, "dtype") ?
				    json_get_str(spec, "dtype") : "float32");
	strbuf_addf(sb, "#define NARGS %d\n", n);
}

/* What becomes a word of C: definitions come from outside. */
static void need_word(const char *word, const char *name)
{
	const char *s = word;

	while (word_char(*s))
		s++;
	if (s == word || *s)
		die(EX_REFUSED, "%s: '%s' is to be one word of letters, digits and _", name, word);
}

static char *axes_header(const json_t *def, const json_t *params,
			 const char *source, const char *name)
{
	static const char *const named[] = { "axes", "inputs", "outputs" };
	struct strbuf sb = STRBUF_INIT;
	json_t *axis, *spec;
	const char *key;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(named); i++)
		json_object_foreach(json_object_get(def, named[i]), key, spec) {
			need_word(key, name);
			if (json_get_str(spec, "dtype"))
				need_word(json_get_str(spec, "dtype"), name);
		}
	strbuf_addf(&sb, "/* The constants of %s. */\n#pragma once\n", name);
	json_object_foreach(json_object_get(def, "axes"), key, axis)
		if (json_is_integer(json_object_get(axis, "value")))
			strbuf_addf(&sb, "#define AX_%s %lld\n", key, (long long)
				    json_integer_value(json_object_get(axis, "value")));
	add_params(&sb, source, params, def, name);
	add_args(&sb, def);
	return strbuf_detach(&sb);
}

/*
 * Its own .cu; NULL. That of what it extends would compute something else: a
 * window or sinks change the result and not always the inputs.
 */
static char *source_path(const struct kernel_template *t)
{
	char *path = strbuf_text("%s.cu", t->bases[0]);

	if (!access(path, R_OK))
		return path;
	free(path);
	return NULL;
}

static void add_source(json_t *sources, const char *dir, const char *name,
		       const char *content)
{
	char *path = strbuf_text("%s/%s", dir, name);

	json_array_append_new(sources, json_pack("{s:s, s:s}", "path", name,
						 "content", content));
	write_changed(path, content, strlen(content));
	strbuf_addf(&rules, " %s", path);
	free(path);
}

static char *read_text(const char *path)
{
	struct strbuf sb = STRBUF_INIT;

	if (strbuf_read_file(&sb, path, &err))
		die(EX_REFUSED, "%s", err.buf);
	return strbuf_detach(&sb);
}

/* What a source includes by "name" lies in parts/; once each, in order. */
static void add_includes(json_t *sources, json_t *seen, const char *dir,
			 const char *source)
{
	static const char mark[] = "#include \"";
	const char *s, *end;

	for (s = source; (s = strstr(s, mark)); s = end) {
		char *name, *path, *content;

		s += sizeof mark - 1;
		end = s + strcspn(s, "\"\n");
		name = xstrndup(s, (size_t)(end - s));
		if (strcmp(name, "axes.h") && !json_array_has(seen, name)) {
			if (!kernel_name_ok(name))
				die(EX_REFUSED, "%s: cannot be included", name);
			json_array_add(seen, name);
			path = strbuf_text("%s/parts/%s", kernels_dir, name);
			content = read_text(path);
			add_source(sources, dir, name, content);
			add_includes(sources, seen, dir, content);
			free(content);
			free(path);
		}
		free(name);
	}
}

static json_t *spec(void)
{
	return json_pack("{s:s, s:[s], s:s, s:[s], s:b, s:s}", "language", "cuda",
			 "target_hardware", "cuda", "entry_point",
			 "tvm_ffi.cu::run", "dependencies", "cublas",
			 "destination_passing_style", true, "binding", "tvm-ffi");
}

static void write_solution(json_t *solution, const char *author, const char *op,
			   const char *name)
{
	char *path = strbuf_text("%s/solutions/%s/%s/%s/%s.json", dataset, author, op,
				 name, json_get_str(solution, "name"));
	struct strbuf body = STRBUF_INIT;

	json_print(&body, solution);
	write_changed(path, body.buf, body.len);
	strbuf_release(&body);
	json_decref(solution);
	free(path);
}

/* Const axes, and what else the text's placeholders name: the reference gives it. */
static json_t *constants(const char *text, const json_t *def, const char *name)
{
	json_t *values = json_object(), *axis;
	const char *s, *end, *key;
	char num[64], *param;

	json_object_foreach(json_object_get((json_t *)def, "axes"), key, axis)
		if (json_object_get(axis, "value"))
			json_object_set(values, key, json_object_get(axis, "value"));
	for (s = text; (s = strstr(s, "@{")); s = end) {
		s += 2;
		end = s + strcspn(s, "}");
		param = xstrndup(s, (size_t)(end - s));
		if (!json_object_get(values, param))
			json_object_set_new(values, param, json_string(
				assigned(def, name, param, num, sizeof num)));
		free(param);
	}
	return values;
}

/* Its own alone, as of the .cu. */
static void make_triton(const struct wl_target *t)
{
	char *path = t->t.json ? strbuf_text("%s_triton.py", t->t.bases[0]) : NULL;
	char *text, *whole, *name;
	json_t *values;

	if (path && !access(path, R_OK)) {
		text = read_text(path);
		values = constants(text, t->def, t->name);
		whole = kernel_text(&t->t, "_triton.py", values, &err);
		if (!whole)
			die(EX_REFUSED, "%s", err.buf);
		name = strbuf_text("triton_%s", t->name);
		write_solution(kernel_wrapper(name, t->name, "triton",
				"Wraps a kernel in Triton.", "triton", "triton",
				whole), "triton", t->op, t->name);
		json_decref(values);
		free(name);
		free(whole);
		free(text);
	}
	free(path);
}

static void make_solution(const char *op, const char *name)
{
	char *path = strbuf_text("%s/definitions/%s/%s.json", dataset, op, name);
	struct wl_target t = { .op = op, .name = name };
	char *cu, *dir = strbuf_text("%s/src/%s", to, name), *source, *axes, *binding;
	char *binding_path = strbuf_text("%s/parts/tvm_ffi.cu", kernels_dir);
	json_t *sources = json_array(), *seen = json_array(), *solution;
	struct strbuf body = STRBUF_INIT;

	t.def = json_load_path(path, 16 << 20, &err);
	if (!t.def || !json_need_str(t.def, "reference", path, &err))
		die(EX_REFUSED, "%s", err.buf);
	wl_target_fill(&t, kernels_dir);
	make_triton(&t);
	cu = t.t.json ? source_path(&t.t) : NULL;
	if (!cu) {
		strbuf_addf(&none, "%s\n", name);
		return;
	}
	source = read_text(cu);
	binding = read_text(binding_path);
	strbuf_addf(&rules, "%s/lib/onboard_cuda_%s.so:", to, name);
	strbuf_addf(&all, " %s/lib/onboard_cuda_%s.so", to, name);
	add_source(sources, dir, "kernel.cu", source);
	add_includes(sources, seen, dir, source);
	strbuf_addstr(&body, source);
	{
		json_t *v;
		size_t i;

		json_array_foreach(sources, i, v)
			strbuf_addstr(&body, json_get_str(v, "content"));
	}
	axes = axes_header(t.def, t.map.params, body.buf, name);
	add_source(sources, dir, "axes.h", axes);
	strbuf_addstr(&rules, "\n");
	json_array_append_new(sources, json_pack("{s:s, s:s}", "path", "tvm_ffi.cu",
						 "content", binding));
	free(path);
	path = strbuf_text("onboard_cuda_%s", name);
	solution = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "name", path,
			     "definition", name, "author", "onboard", "description",
			     "A CUDA kernel of onboard (kernels/ of its sources).",
			     "spec", spec(), "sources", sources);
	free(path);
	write_solution(solution, "onboard", op, name);
	strbuf_release(&body);
}

static void make_all(void)
{
	char *root = strbuf_text("%s/definitions", dataset), *dir;
	struct dirent **ops = NULL, **defs;
	int n = scandir(root, &ops, dir_visible, dir_by_name), m, i, k;

	for (i = 0; i < n; i++) {
		defs = NULL;
		dir = strbuf_text("%s/%s", root, ops[i]->d_name);
		m = scandir(dir, &defs, dir_json, dir_by_name);
		for (k = 0; k < m; k++) {
			char *name = xstrndup(defs[k]->d_name,
					      strlen(defs[k]->d_name) - 5);

			make_solution(ops[i]->d_name, name);
			free(name);
		}
		free(dir);
	}
	free(root);
}

int main(int argc, char **argv)
{
	int i = opt_parse(argc, argv, &tool, options);
	char *path;

	if (!dataset)
		opt_usage("--dataset=DIR is needed");
	if (i == argc)
		make_all();
	for (; i < argc; i++) {
		char *op = kernel_name_ok(argv[i]) ? eval_find_op(dataset, argv[i]) : NULL;

		if (!op)
			die(EX_REFUSED, "%s/definitions has no %s.json", dataset, argv[i]);
		make_solution(op, argv[i]);
	}
	strbuf_addf(&rules, "solutions :=%s\n", all.buf);
	path = strbuf_text("%s/kernels.mk", to);
	write_changed(path, rules.buf, rules.len);
	path = strbuf_text("%s/none.txt", to);
	write_changed(path, none.buf, none.len);
	return done();
}
