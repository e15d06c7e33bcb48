/*
 * needed - which kernels a config needs.
 *
 * Runs the rules of every kernels/OP/shapes.jq in one jq process over the
 * config and the serving facts, names what they yield after the templates,
 * merges what comes out twice, and lists config keys that no rule read.
 */
#include "lib/die.h"
#include "lib/kernels.h"
#include "lib/opt.h"
#include "lib/proc.h"

static const char *kernels_dir = "kernels", *dir, *out = "-";
static const char *config_path, *serving_path;

static const struct tool tool = {
	"--dir=RUN [-o FILE] | --config=FILE [--serving=FILE] [-o FILE]",
	"Derive the kernels that a model's config needs.",
	"RUN/config.json and RUN/serving.json (or the files named, - is\n"
	"        stdin), kernels/*/shapes.jq and the templates beside them",
	"needed.json: {kernels: [{definition_name, op_type, template, axes,\n"
	"        params, tp, ep, roles, keys}], not_understood: [key...]}"
};

static const struct option options[] = {
	OPT_STR('k', "kernels", &kernels_dir, "DIR", "the catalogue [kernels]"),
	OPT_STR('d', "dir", &dir, "DIR", "folder of the run"),
	OPT_STR('c', "config", &config_path, "FILE", "config.json"),
	OPT_STR(0, "serving", &serving_path, "FILE",
		"serving.json [TP 1, EP 1, page sizes 1 and 64]"),
	OPT_STR('o', "output", &out, "FILE", "needed.json, - is stdout [-]"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT;

/* import "OP/shapes" as OP; ... one program for all folders */
static void program(struct strbuf *sb, const json_t *ops)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)ops, i, v)
		strbuf_addf(sb, "import \"%s/shapes\" as %s;\n",
			    json_string_value(v), json_string_value(v));
	strbuf_addstr(sb, "import \"config\" as config;\n"
		      "{kernels: [");
	json_array_foreach((json_t *)ops, i, v)
		strbuf_addf(sb, "%s(%s::shapes | . + {op_type: \"%s\"})",
			    i ? ", " : "", json_string_value(v),
			    json_string_value(v));
	strbuf_addstr(sb, "], not_understood: (. as $in | [config::text | to_entries[]"
		      " | select(.value != null and .value != false"
		      " and .value != 0) | .key]"
		      " | sort | . - config::harmless");
	json_array_foreach((json_t *)ops, i, v)
		strbuf_addf(sb, " - ($in | %s::reads)", json_string_value(v));
	strbuf_addstr(sb, ")}");
}

/* jq says `jq: error (at ...): onboard: SENTENCE`; ours is the sentence. */
static void refuse(const char *config, const char *said)
{
	const char *mark = strstr(said, "onboard: ");

	if (mark)
		die(EX_REFUSED, "%s: %.*s", config,
		    (int)strcspn(mark + 9, "\n"), mark + 9);
	die(EX_REFUSED, "%s: the rules cannot read it: %.*s", config,
	    (int)strcspn(said, "\n"), said);
}

static json_t *run_rules(const json_t *ops, const json_t *config,
			 const json_t *serving, const char *name)
{
	struct strbuf prog = STRBUF_INIT, in = STRBUF_INIT;
	struct strbuf res = STRBUF_INIT_MAX((size_t)64 << 20);
	struct strbuf said = STRBUF_INIT_MAX(1 << 20);
	json_t *j = json_pack("{s:O, s:O}", "config", config, "serving",
			      serving);
	struct proc p = { .out = &res, .errs = &said };
	int ret;

	program(&prog, ops);
	json_print(&in, j);
	p.in = in.buf;
	p.in_len = in.len;
	p.argv = (const char *const[]){ "jq", "-c", "-L", kernels_dir,
					prog.buf, NULL };
	ret = proc_run(&p, &err);
	if (ret < 0)
		die(EX_AGAIN, "%s", err.buf);
	if (ret)
		refuse(name, said.buf);
	json_decref(j);
	j = json_parse(res.buf, res.len, "the rules' answer", &err);
	if (!j)
		die(EX_REFUSED, "%s", err.buf);
	return j;
}

/* jq 1.6 has doubles only: make whole numbers integers again */
static json_t *as_integers(const json_t *axes, const char *op,
			   const char *name)
{
	json_t *o = json_object(), *v;
	const char *key;

	json_object_foreach((json_t *)axes, key, v) {
		double d = json_number_value(v);

		if (!json_is_number(v) || d < 1 || d > 1e9 ||
		    d != (double)(json_int_t)d)
			die(EX_REFUSED, "%s: the rules of kernels/%s make axis"
			    " '%s' %g, which is no size", name, op, key, d);
		json_object_set_new(o, key, json_integer((json_int_t)d));
	}
	return o;
}

static json_t *as_params(const json_t *params)
{
	json_t *o = json_object(), *v;
	const char *key;

	json_object_foreach((json_t *)params, key, v) {
		double d = json_number_value(v);

		if (json_is_number(v) && d == (double)(json_int_t)d)
			json_object_set_new(o, key,
					    json_integer((json_int_t)d));
		else
			json_object_set(o, key, v);
	}
	return o;
}

static void add_number(json_t *arr, const json_t *n)
{
	size_t i;
	json_int_t v = (json_int_t)json_number_value(n);

	if (!json_is_number(n))
		return;
	for (i = 0; i < json_array_size(arr); i++) {
		if (json_integer_value(json_array_get(arr, i)) == v)
			return;
		if (json_integer_value(json_array_get(arr, i)) > v)
			break;
	}
	json_array_insert_new(arr, i, json_integer(v));
}

static void add_words(json_t *arr, const json_t *words)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)words, i, v)
		json_array_add(arr, json_string_value(v));
}

static void take(json_t *by_name, const json_t *k, const char *config)
{
	const char *op = json_get_str(k, "op_type");
	const char *template = json_get_str(k, "template");
	const char *role = json_get_str(k, "role");
	json_t *axes = as_integers(json_object_get(k, "axes"), op, config);
	json_t *params = as_params(json_object_get(k, "params")), *e;
	struct kernel_template t;
	char *name;

	if (kernel_template_load(&t, kernels_dir, op, template, &err) ||
	    !(name = kernel_name(&t, axes, params, &err)))
		die(EX_REFUSED, "%s", err.buf);
	e = json_object_get(by_name, name);
	if (!e) {
		e = json_pack("{s:s, s:s, s:s, s:o, s:O, s:[], s:[], s:[],"
			      " s:[]}", "definition_name", name, "op_type", op,
			      "template", template, "axes", axes, "params",
			      params, "tp", "ep", "roles", "keys");
		if (json_get_str(k, "fi_cannot"))
			json_object_set(e, "fi_cannot",
					json_object_get(k, "fi_cannot"));
		json_object_set_new(by_name, name, e);
	} else {
		json_decref(axes);
	}
	add_number(json_object_get(e, "tp"), json_object_get(k, "tp"));
	add_number(json_object_get(e, "ep"), json_object_get(k, "ep"));
	if (role)
		json_array_add(json_object_get(e, "roles"), role);
	add_words(json_object_get(e, "keys"), json_object_get(k, "keys"));
	kernel_template_release(&t);
	free(name);
}

static int by_op_then_name(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	int c = strcmp(json_get_str(x, "op_type"), json_get_str(y, "op_type"));

	return c ? c : strcmp(json_get_str(x, "definition_name"),
			      json_get_str(y, "definition_name"));
}

static json_t *sorted(const json_t *by_name)
{
	size_t n = json_object_size(by_name), i = 0;
	json_t **v = xcalloc(n, sizeof(*v)), *arr = json_array(), *e;
	const char *key;

	json_object_foreach((json_t *)by_name, key, e)
		v[i++] = e;
	qsort(v, n, sizeof(*v), by_op_then_name);
	for (i = 0; i < n; i++)
		json_array_append(arr, v[i]);
	free(v);
	return arr;
}

static char *in_dir(const char *name)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "%s/%s", dir, name);
	return strbuf_detach(&sb);
}

int main(int argc, char **argv)
{
	json_t *serving, *config, *ops, *all, *by_name, *k, *arr;
	size_t i;

	if (opt_parse(argc, argv, &tool, options) != argc)
		opt_usage("no arguments are taken, only options");
	if (!dir == !config_path)
		opt_usage("either --dir or --config is needed");
	if (dir) {
		config_path = in_dir("config.json");
		serving_path = in_dir("serving.json");
	}
	serving = serving_path
		? json_load_path(serving_path, JSON_MAX_CONFIG, &err)
		: json_pack("{s:[i], s:[i], s:[i,i]}", "tp", 1, "ep", 1,
			    "page_sizes", 1, 64);
	if (!serving)
		die(EX_REFUSED, "%s", err.buf);
	if (json_is_true(json_object_get(serving, "deferred"))) {
		all = json_pack("{s:[], s:[]}", "kernels", "not_understood");
		goto save;
	}
	config = json_load_path(config_path, JSON_MAX_CONFIG, &err);
	ops = config ? kernels_op_types(kernels_dir, &err) : NULL;
	if (!ops)
		die(EX_REFUSED, "%s", err.buf);
	if (!json_is_object(config))
		die(EX_REFUSED, "%s is no JSON object", config_path);
	all = run_rules(ops, config, serving, config_path);
	by_name = json_object();
	json_array_foreach(json_object_get(all, "kernels"), i, k) {
		if (json_get_str(k, "unclear"))
			json_array_add(json_object_get(all, "not_understood"),
				       json_get_str(k, "unclear"));
		else
			take(by_name, k, config_path);
	}
	arr = sorted(by_name);
	if (!json_array_size(arr))
		die(EX_REFUSED, "%s: no rule finds a kernel in it; is it the"
		    " config of a language model?", config_path);
	json_object_set_new(all, "kernels", arr);
save:
	if (json_save(all, out, &err))
		die(EX_AGAIN, "%s", err.buf);
	return done();
}
