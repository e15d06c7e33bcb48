#include "tracedef.h"
#include "kernels.h"
#include "outfile.h"
#include "pytok.h"

#include <dirent.h>

/* ---- the reference ---- */

struct param {
	char *name;
	bool optional;		/* has a default, or is * or ** */
	bool star;
};

struct function {
	char *name;
	struct param p[64];
	size_t n;
};

static void function_release(struct function *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		free(f->p[i].name);
	free(f->name);
	*f = (struct function){ .n = 0 };
}

static bool wanted(const char *name)
{
	size_t n = strlen(name);

	return !strcmp(name, "run") ||
		(name[0] == '_' && n > 11 &&
		 !strcmp(name + n - 10, "_reference"));
}

/* At the '(' of a def: its parameters. */
static void parameters(struct pytok *tz, struct py_token *t,
		       struct function *f)
{
	struct py_token prev = *t;
	struct param *p = NULL;

	for (pytok_next(tz, t); t->kind != PY_EOF && t->kind != PY_ERROR &&
	     !(t->kind == PY_OP && t->depth == 1 && py_is(t, ")"));
	     prev = *t, pytok_next(tz, t)) {
		bool first = prev.kind == PY_OP && prev.depth <= 1 &&
			(py_is(&prev, "(") || py_is(&prev, ","));
		bool star = prev.kind == PY_OP && prev.depth == 1 &&
			(py_is(&prev, "*") || py_is(&prev, "**"));

		if (t->depth != 1)
			continue;
		if (t->kind == PY_NAME && (first || star) &&
		    f->n < ARRAY_SIZE(f->p)) {
			p = &f->p[f->n++];
			*p = (struct param){ xstrndup(t->s, t->len), star,
					     star };
		} else if (t->kind == PY_OP && py_is(t, "=") && p) {
			p->optional = true;
		}
	}
}

/* The last top-level `run` or `_x_reference`; helpers stand before it. */
static bool find_function(const char *src, struct function *f)
{
	struct pytok tz;
	struct py_token t, prev = { .kind = PY_EOF };

	*f = (struct function){ .n = 0 };
	pytok_init(&tz, src, strlen(src));
	for (pytok_next(&tz, &t); t.kind != PY_EOF && t.kind != PY_ERROR;
	     prev = t, pytok_next(&tz, &t)) {
		char *name;

		if (t.kind != PY_NAME || tz.levels != 1 ||
		    prev.kind != PY_NAME || !py_is(&prev, "def"))
			continue;
		name = xstrndup(t.s, t.len);
		if (!wanted(name)) {
			free(name);
			continue;
		}
		function_release(f);
		f->name = name;
		pytok_next(&tz, &t);
		if (t.kind == PY_OP && py_is(&t, "("))
			parameters(&tz, &t, f);
	}
	return f->name;
}

/* src with the name replaced wherever it is a name of its own. */
static char *rename_to_run(const char *src, const char *name)
{
	struct strbuf out = STRBUF_INIT;
	struct pytok tz;
	struct py_token t, prev = { .kind = PY_EOF };
	const char *from = src;

	pytok_init(&tz, src, strlen(src));
	for (pytok_next(&tz, &t); t.kind != PY_EOF && t.kind != PY_ERROR;
	     prev = t, pytok_next(&tz, &t)) {
		if (t.kind != PY_NAME || !py_is(&t, name) ||
		    (prev.kind == PY_OP && py_is(&prev, ".")))
			continue;
		strbuf_add(&out, from, (size_t)(t.s - from));
		strbuf_addstr(&out, "run");
		from = t.s + t.len;
	}
	strbuf_addstr(&out, from);
	return strbuf_detach(&out);
}

static char *call_by_name(const char *src, const char *name,
			  const json_t *inputs)
{
	struct strbuf out = STRBUF_INIT, args = STRBUF_INIT;
	struct strbuf call = STRBUF_INIT;
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)inputs, key, v) {
		strbuf_addf(&args, "%s%s", args.len ? ", " : "", key);
		strbuf_addf(&call, "%s%s=%s", call.len ? ", " : "", key, key);
	}
	strbuf_addf(&out, "%s\n\n\n@torch.no_grad()\ndef run(%s):\n"
		    "    return %s(%s)\n", src, args.buf, name, call.buf);
	strbuf_release(&args);
	strbuf_release(&call);
	return strbuf_detach(&out);
}

static const struct param *param(const struct function *f, const char *name)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (!f->p[i].star && !strcmp(f->p[i].name, name))
			return &f->p[i];
	return NULL;
}

static int fix_inputs(json_t *d, const struct function *f, struct strbuf *err)
{
	json_t *in = json_object_get(d, "inputs"), *v, *kept = json_object();
	const char *name;
	size_t i;

	json_object_foreach(in, name, v) {
		const char *dtype = json_get_str(v, "dtype");
		const struct param *p = param(f, name);
		bool optional = json_is_true(json_object_get(v, "optional"));
		size_t n = strlen(name);

		/* not passed in that run: its default stands */
		if (optional && p && p->optional && dtype &&
		    !strcmp(dtype, "unknown"))
			continue;
		if (!p) {
			if (optional)
				continue;
			strbuf_addf(err, "input '%s' is none of the"
				    " reference's parameters", name);
			break;
		}
		if (dtype && !strcmp(dtype, "unknown")) {
			if (!((n > 6 && !strcmp(name + n - 6, "indptr")) ||
			      (n > 7 && !strcmp(name + n - 7, "indices")) ||
			      (n > 13 && !strcmp(name + n - 13,
						 "last_page_len")))) {
				strbuf_addf(err, "the dtype of input '%s' was"
					    " not seen", name);
				break;
			}
			json_object_set_new(v, "dtype", json_string("int32"));
		}
		json_object_del(v, "optional");
		json_object_set(kept, name, v);
	}
	for (i = 0; !err->len && i < f->n; i++)
		if (!f->p[i].optional &&
		    !json_object_get(kept, f->p[i].name))
			strbuf_addf(err, "the reference needs '%s', which was"
				    " not recorded", f->p[i].name);
	if (!err->len)
		json_object_set(d, "inputs", kept);
	json_decref(kept);
	return err->len ? -1 : 0;
}

static int fix_reference(json_t *d, struct strbuf *err)
{
	const char *src = json_get_str(d, "reference"), *name;
	struct function f;
	json_t *v;
	size_t i = 0;
	bool same = true;
	char *text;

	if (!src || !find_function(src, &f)) {
		strbuf_addf(err, "its reference has neither run() nor a"
			    " function named _..._reference");
		return -1;
	}
	if (fix_inputs(d, &f, err)) {
		function_release(&f);
		return -1;
	}
	json_object_foreach(json_object_get(d, "inputs"), name, v) {
		same &= i < f.n && !strcmp(f.p[i].name, name);
		i++;
	}
	same &= i == f.n;
	if (!same && !strcmp(f.name, "run"))
		strbuf_addf(err, "run()'s parameters are not the inputs");
	else if (strcmp(f.name, "run")) {
		text = same ? rename_to_run(src, f.name)
			: call_by_name(src, f.name,
				       json_object_get(d, "inputs"));
		json_object_set_new(d, "reference", json_string(text));
		free(text);
	}
	function_release(&f);
	return err->len ? -1 : 0;
}

static int fix_outputs(json_t *d, struct strbuf *err)
{
	json_t *out = json_object_get(d, "outputs"), *v, *kept;
	const json_t *in = json_object_get(d, "inputs");
	const char *name;

	kept = json_object();
	json_object_foreach(out, name, v) {
		json_object_del(v, "optional");
		if (!json_object_get(in, name))
			json_object_set(kept, name, v);
	}
	json_object_set(d, "outputs", kept);
	if (!json_object_size(kept))
		strbuf_addf(err, "all its outputs are inputs changed in"
			    " place");
	json_decref(kept);
	return err->len ? -1 : 0;
}

/* ---- axes and name ---- */

static json_int_t axis(const json_t *d, const char *name)
{
	return json_integer_value(json_object_get(json_object_get(
		json_object_get(d, "axes"), name), "value"));
}

static void set_axis(json_t *d, const char *name, json_int_t v)
{
	json_object_set_new(json_object_get(json_object_get(d, "axes"), name),
			    "value", json_integer(v));
}

static json_int_t want(const json_t *k, const char *name)
{
	return json_integer_value(json_object_get(json_object_get(k, "axes"),
						  name));
}

/* See tracedef.h: what stands as page_size is the heads, and the reverse. */
static int repair_swap(json_t *d, const struct tracedef *t,
		       const char **repair, struct strbuf *err)
{
	json_int_t kv = axis(d, "num_kv_heads"), ps = axis(d, "page_size");
	json_int_t dim = axis(d, "head_dim"), q = axis(d, "num_qo_heads");
	const char *op = json_get_str(d, "op_type");
	bool as_is = false, swapped = false, hnd = false, no_page = false;
	json_t *k;
	size_t i;

	if (!kv || !ps || !t->needed)
		return 0;
	json_array_foreach((json_t *)t->needed, i, k) {
		if (strcmp(json_get_str(k, "op_type"), op) ||
		    want(k, "num_qo_heads") != q || want(k, "head_dim") != dim)
			continue;
		as_is |= want(k, "num_kv_heads") == kv;
		if (want(k, "num_kv_heads") != ps)
			continue;
		swapped = true;
		hnd |= want(k, "page_size") == kv;
		no_page |= want(k, "page_size") == 1;
	}
	if (as_is || !swapped)
		return 0;
	no_page &= kv == dim;
	if (hnd == no_page) {
		strbuf_addf(err, "num_kv_heads %lld and page_size %lld are"
			    " swapped, and the page size cannot be told",
			    (long long)kv, (long long)ps);
		return -1;
	}
	set_axis(d, "num_kv_heads", ps);
	set_axis(d, "page_size", hnd ? kv : 1);
	*repair = hnd ? "an HND cache: page_size and num_kv_heads swapped back"
		: "a cache without page axis: page size 1";
	return 0;
}

static bool tag_names(const json_t *d, const char *api)
{
	json_t *tags = json_object_get(d, "tags"), *v;
	size_t i, n = strlen(api);

	json_array_foreach(tags, i, v) {
		const char *s = json_string_value(v);

		if (s && !strncmp(s, "fi_api:", 7) &&
		    !strncmp(s + 7, api, n) && (!s[7 + n] || s[7 + n] == '.'))
			return true;
	}
	return false;
}

static bool names_api(const json_t *d, const json_t *apis)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)apis, i, v)
		if (tag_names(d, json_string_value(v)))
			return true;
	return false;
}

static bool axes_fit(const json_t *d, const json_t *template, json_t *values)
{
	json_t *axes = json_object_get(json_object_get(template,
				       "definition"), "axes"), *a;
	const char *name;

	json_object_foreach(axes, name, a) {
		if (strcmp(json_get_str(a, "type"), "const"))
			continue;
		if (!axis(d, name))
			return false;
		json_object_set_new(values, name, json_integer(axis(d, name)));
	}
	return true;
}

/* The published name, if exactly one template is meant. */
static void publish_name(json_t *d, const struct tracedef *t)
{
	const char *op = json_get_str(d, "op_type");
	struct strbuf dir = STRBUF_INIT;
	struct dirent **v = NULL;
	char *found = NULL;
	int n, i, matches = 0;

	strbuf_addf(&dir, "%s/%s", t->kernels, op);
	n = scandir(dir.buf, &v, dir_json, dir_by_name);
	for (i = 0; i < n; i++) {
		char *base = xstrndup(v[i]->d_name,
				      strlen(v[i]->d_name) - 5), *name;
		struct strbuf no = STRBUF_INIT;
		struct kernel_template k;
		json_t *values = json_object();
		bool ps1 = strstr(base, "_ps1") != NULL;

		if (!kernel_template_load(&k, t->kernels, op, base, &no)) {
			if (names_api(d, json_object_get(k.json, "fi_api")) &&
			    axes_fit(d, k.json, values) &&
			    (!axis(d, "page_size") ||
			     ps1 == (axis(d, "page_size") == 1)) &&
			    (name = kernel_name(&k, values, NULL, &no))) {
				matches++;
				free(found);
				found = name;
			}
			kernel_template_release(&k);
		}
		json_decref(values);
		strbuf_release(&no);
		free(base);
		free(v[i]);
	}
	free(n >= 0 ? v : NULL);
	if (matches == 1)
		json_object_set_new(d, "name", json_string(found));
	free(found);
	strbuf_release(&dir);
}

static void add_tags(json_t *d, const struct tracedef *t, const json_t *k)
{
	static const char *const kinds[] = { "tp", "ep" };
	json_t *tags = json_object_get(d, "tags"), *v;
	struct strbuf sb = STRBUF_INIT;
	size_t i, j;

	if (!json_is_array(tags)) {
		tags = json_array();
		json_object_set_new(d, "tags", tags);
	}
	if (t->slug) {
		strbuf_addf(&sb, "model:%s", t->slug);
		json_array_add(tags, sb.buf);
	}
	for (i = 0; k && i < ARRAY_SIZE(kinds); i++)
		json_array_foreach(json_object_get(k, kinds[i]), j, v) {
			strbuf_reset(&sb);
			strbuf_addf(&sb, "%s:%lld", kinds[i],
				    (long long)json_integer_value(v));
			json_array_add(tags, sb.buf);
		}
	strbuf_release(&sb);
}

/*
 * The dumper declares some inputs as one value whatever was passed; engines
 * pass one a row. Such a dump would not fit the calls.
 */
static int hold_kinds(const json_t *d, const struct tracedef *t,
		      const json_t *entry, struct strbuf *err)
{
	struct kernel_template k;
	const char *name;
	json_t *v, *other;

	if (kernel_template_load(&k, t->kernels, json_get_str(d, "op_type"),
				 json_get_str(entry, "template"), err))
		return -1;
	json_object_foreach(json_object_get(json_object_get(k.json,
			    "definition"), "inputs"), name, v) {
		other = json_object_get(json_object_get(d, "inputs"), name);
		if (other && json_is_null(json_object_get(v, "shape")) !=
		    json_is_null(json_object_get(other, "shape")))
			strbuf_addf(err, "input '%s' is declared as %s, the"
				    " kernel takes %s", name, json_is_null(
				    json_object_get(v, "shape")) ? "a tensor"
				    : "one value", json_is_null(
				    json_object_get(v, "shape")) ? "one value"
				    : "a tensor");
	}
	kernel_template_release(&k);
	return err->len ? -1 : 0;
}

int tracedef_normalise(json_t *d, const struct tracedef *t,
		       const json_t **entry, const char **repair,
		       struct strbuf *err)
{
	json_t *k;
	size_t i;

	*entry = NULL;
	*repair = NULL;
	if (!json_is_object(d) || !json_get_str(d, "name") ||
	    !json_get_str(d, "op_type") ||
	    !json_is_object(json_object_get(d, "axes")) ||
	    !json_is_object(json_object_get(d, "inputs")) ||
	    !json_is_object(json_object_get(d, "outputs"))) {
		strbuf_addf(err, "it is no Definition: name, op_type, axes,"
			    " inputs or outputs is missing");
		return -1;
	}
	if (!kernel_name_ok(json_get_str(d, "op_type")) ||
	    !kernel_name_ok(json_get_str(d, "name"))) {
		strbuf_addf(err, "its name or op_type is no file's name");
		return -1;
	}
	if (fix_reference(d, err) || fix_outputs(d, err) ||
	    repair_swap(d, t, repair, err))
		return -1;
	publish_name(d, t);
	json_array_foreach((json_t *)t->needed, i, k)
		if (!strcmp(json_get_str(k, "definition_name"),
			    json_get_str(d, "name")))
			*entry = k;
	add_tags(d, t, *entry);
	return *entry ? hold_kinds(d, t, *entry, err) : 0;
}
