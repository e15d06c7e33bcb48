#include "check.h"
#include "kernels.h"
#include "pyexpr.h"
#include "pyscan.h"
#include "pytok.h"

#include <ctype.h>

static void add(struct check *c, const char *level, const char *fmt,
		va_list ap)
{
	struct strbuf sb = STRBUF_INIT;
	json_t *o;

	strbuf_vaddf(&sb, fmt, ap);
	o = json_pack("{s:s, s:s, s:s?, s:s?}", "level", level, "section",
		      c->section, "definition", c->definition, "file",
		      c->file);
	if (c->line)
		json_object_set_new(o, "line",
				    json_integer((json_int_t)c->line));
	/* foreign text may be no UTF-8 */
	if (json_object_set_new(o, "message", json_string(sb.buf)))
		json_object_set_new(o, "message",
				    json_string("(a message with bytes that"
						" are no UTF-8)"));
	if (!c->findings)
		c->findings = json_array();
	json_array_append_new(c->findings, o);
	strbuf_release(&sb);
}

void check_error(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(c, "error", fmt, ap);
	va_end(ap);
	c->errors++;
}

void check_warn(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(c, "warning", fmt, ap);
	va_end(ap);
	c->warnings++;
}

static bool is_dtype(const char *s)
{
	static const char *const names[] = { "float32", "float16", "bfloat16",
		"float8_e4m3fn", "float8_e5m2", "float4_e2m1", "int64",
		"int32", "int16", "int8", "bool" };
	size_t i;

	for (i = 0; s && i < ARRAY_SIZE(names); i++)
		if (!strcmp(s, names[i]))
			return true;
	return false;
}

static bool text_at(struct check *c, const json_t *o, const char *key)
{
	const char *s = json_get_str(o, key);

	if (s && *s)
		return true;
	check_error(c, "key '%s' is %s", key, !json_object_get(o, key) ?
		    "missing" : s ? "empty" : "no string");
	return false;
}

static void described(struct check *c, const json_t *o, const char *what,
		      const char *name)
{
	const char *s = json_get_str(o, "description");

	if (!s || !*s)
		check_warn(c, "missing description: %s%s%s", what,
			   name ? "." : "", name ? name : "");
}

static bool check_axes(struct check *c, const json_t *d)
{
	json_t *axes = json_object_get(d, "axes"), *a, *v;
	const char *name, *type;
	bool ok = true;

	if (!json_is_object(axes)) {
		check_error(c, "key 'axes' is no object");
		return false;
	}
	json_object_foreach(axes, name, a) {
		type = json_get_str(a, "type");
		v = json_object_get(a, "value");
		described(c, a, "axes", name);
		if (type && !strcmp(type, "var"))
			continue;
		ok = false;
		if (!type || strcmp(type, "const"))
			check_error(c, "axis '%s' is neither var nor const",
				    name);
		else if (!json_is_integer(v) || json_integer_value(v) < 1)
			check_error(c, "const axis '%s' has no value of 1 or"
				    " more", name);
		else
			ok = true;
		if (!ok)
			return false;
	}
	return true;
}

static bool check_tensors(struct check *c, const json_t *d, const char *key,
			  json_t *used_axes)
{
	json_t *m = json_object_get(d, key), *t, *dim, *shape;
	const json_t *axes = json_object_get(d, "axes");
	const char *name;
	bool ok = true;
	size_t i;

	if (!json_is_object(m) || !json_object_size(m)) {
		check_error(c, "key '%s' is no object with tensors", key);
		return false;
	}
	json_object_foreach(m, name, t) {
		shape = json_object_get(t, "shape");
		described(c, t, key, name);
		if (!is_dtype(json_get_str(t, "dtype"))) {
			check_error(c, "%s.%s: dtype '%s' is not known", key,
				    name, json_get_str(t, "dtype") ?
				    json_get_str(t, "dtype") : "");
			ok = false;
		}
		if (!shape || (!json_is_array(shape) &&
			       !json_is_null(shape))) {
			check_error(c, "%s.%s: shape is neither a list nor"
				    " null", key, name);
			ok = false;
		}
		json_array_foreach(shape, i, dim) {
			const char *s = json_string_value(dim);

			if (s && json_object_get(axes, s)) {
				json_array_add(used_axes, s);
				continue;
			}
			check_error(c, "%s.%s: shape names axis '%s', which is"
				    " not declared", key, name, s ? s : "?");
			ok = false;
		}
	}
	return ok;
}

/* Parameters of the top-level def run, in order; NULL if there is none. */
static json_t *run_parameters(struct check *c, const char *src)
{
	struct pytok tz;
	struct py_token t, prev = { .kind = PY_EOF };
	json_t *args = NULL;
	struct pyscan ps;
	size_t i;
	bool has = false, async = false;

	pyscan_init(&ps, src, strlen(src));
	if (ps.broken)
		check_error(c, "the reference is no Python: line %u",
			    ps.broken);
	for (i = 0; i < ps.ndefs; i++)
		if (!ps.defs[i].depth && !strcmp(ps.defs[i].qualname, "run")) {
			has |= ps.defs[i].kind == 'f';
			async |= ps.defs[i].kind == 'a';
		}
	pyscan_release(&ps);
	if (!has) {
		check_error(c, "the reference has no top-level function run%s",
			    async ? " (an async one does not count)" : "");
		return NULL;
	}
	pytok_init(&tz, src, strlen(src));
	for (pytok_next(&tz, &t); t.kind != PY_EOF && t.kind != PY_ERROR;
	     prev = t, pytok_next(&tz, &t)) {
		if (t.kind == PY_NAME && py_is(&t, "run") &&
		    prev.kind == PY_NAME && py_is(&prev, "def") &&
		    tz.levels == 1) {
			args = json_array();	/* the last one counts */
			pytok_next(&tz, &t);
			for (prev = t, pytok_next(&tz, &t);
			     t.kind != PY_EOF && t.kind != PY_ERROR &&
			     !(t.kind == PY_OP && t.depth == 1 &&
			       py_is(&t, ")")); prev = t,
			     pytok_next(&tz, &t))
				if (t.depth == 1 && t.kind == PY_NAME &&
				    prev.kind == PY_OP &&
				    (py_is(&prev, "(") || py_is(&prev, ",")))
					json_array_append_new(args,
						json_stringn(t.s, t.len));
		}
	}
	return args;
}

static void check_reference(struct check *c, const json_t *d)
{
	const json_t *inputs = json_object_get(d, "inputs");
	const char *ref = json_get_str(d, "reference"), *name;
	json_t *args, *v;
	size_t i = 0;

	args = run_parameters(c, ref);
	if (!args)
		return;
	json_object_foreach((json_t *)inputs, name, v) {
		const char *a = json_string_value(json_array_get(args, i));

		if (!a || strcmp(a, name)) {
			check_error(c, "run() takes '%s' where the inputs have"
				    " '%s' (number %zu): inputs are passed by"
				    " position", a ? a : "nothing", name,
				    i + 1);
			break;
		}
		i++;
	}
	if (i == json_object_size(inputs) && i < json_array_size(args))
		check_error(c, "run() takes '%s', which is no input",
			    json_string_value(json_array_get(args, i)));
	json_decref(args);
}

/* ---- constraints: names and grammar; their truth needs a workload ---- */

static bool axis_declared(void *data, const char *name, bool *known,
			  double *value)
{
	const json_t *a = json_object_get(json_object_get(data, "axes"), name);
	const json_t *v = json_object_get(a, "value");

	*known = v != NULL;
	*value = (double)json_integer_value(v);
	return a != NULL;
}

static bool tensor_declared(void *data, const char *name,
			    struct pyexpr_tensor *t)
{
	const json_t *i = json_object_get(json_object_get(data, "inputs"),
					  name);
	const json_t *shape = json_object_get(i, "shape");

	*t = (struct pyexpr_tensor){ .ndim = (int)json_array_size(shape) };
	return i != NULL;
}

static void check_constraints(struct check *c, const json_t *d)
{
	struct pyexpr_env env = { (void *)(uintptr_t)d, axis_declared,
				  tensor_declared };
	json_t *list = json_object_get(d, "constraints"), *v;
	size_t i;

	if (list && !json_is_array(list) && !json_is_null(list))
		check_error(c, "key 'constraints' is no list");
	json_array_foreach(list, i, v) {
		struct strbuf why = STRBUF_INIT;
		const char *s = json_string_value(v);
		enum pyexpr_result r = s && *s ? pyexpr_eval(s, &env, &why)
					       : PYEXPR_BAD;

		if (r == PYEXPR_BAD)
			check_error(c, "constraint '%s': %s", s ? s : "",
				    why.len ? why.buf : "it is empty");
		else if (r == PYEXPR_FALSE)
			check_error(c, "constraint '%s' is false whatever the"
				    " workload", s);
		strbuf_release(&why);
	}
}

/* ---- tags and name ---- */

static void check_tags(struct check *c, const json_t *d)
{
	json_t *tags = json_object_get(d, "tags"), *v;
	bool status = false, model = false;
	size_t i;

	json_array_foreach(tags, i, v) {
		const char *s = json_string_value(v);

		if (!s || !*s)
			check_error(c, "a tag is %s", s ? "empty" :
				    "no string");
		else if (!strncmp(s, "status:", 7))
			status = true;
		else if (!strncmp(s, "model:", 6))
			model = true;
	}
	if (tags && !json_is_array(tags) && !json_is_null(tags))
		check_error(c, "key 'tags' is no list");
	if (!status)
		check_warn(c, "no tag tells the status (status:verified or"
			   " status:unverified)");
	if (!model)
		check_warn(c, "no tag names a model");
}

/* The number after "_LETTERS" in the name, for axes that names carry. */
static void check_name(struct check *c, const json_t *d, const char *name)
{
	json_t *v, *numbers = json_object(), *n, *axis;
	const char *key;
	size_t i;

	json_array_foreach(c->templates, i, v)
		if (kernel_name_fits(json_string_value(v), name, numbers))
			break;
		else
			json_object_clear(numbers);
	json_object_foreach(numbers, key, n) {
		axis = json_object_get(json_object_get(json_object_get(d,
					"axes"), key), "value");
		if (axis && json_is_integer(n) && !json_equal(axis, n))
			check_error(c, "the name says %lld for axis '%s',"
				    " which is %lld", (long long)
				    json_integer_value(n), key, (long long)
				    json_integer_value(axis));
	}
	json_decref(numbers);
}

bool check_definition(struct check *c, const json_t *d, const char *op,
		      const char *stem)
{
	const char *name = json_get_str(d, "name");
	const char *op_type = json_get_str(d, "op_type"), *key;
	json_t *used = json_array(), *v;
	bool ok;

	c->section = "layout";
	if (name && strcmp(name, stem))
		check_error(c, "name '%s' is not the file's, '%s'", name,
			    stem);
	if (op_type && strcmp(op_type, op))
		check_error(c, "op_type '%s' is not the folder's, '%s'",
			    op_type, op);
	c->section = "definition";
	ok = json_is_object(d);
	if (!ok)
		check_error(c, "it is no JSON object");
	ok = ok && text_at(c, d, "name") && text_at(c, d, "op_type") &&
		check_axes(c, d) && check_tensors(c, d, "inputs", used) &&
		check_tensors(c, d, "outputs", used) &&
		text_at(c, d, "reference");
	if (!ok)
		goto out;
	described(c, d, "definition", NULL);
	json_object_foreach(json_object_get(d, "inputs"), key, v)
		if (json_object_get(json_object_get(d, "outputs"), key))
			check_error(c, "'%s' is both an input and an output",
				    key);
	json_object_foreach(json_object_get(d, "axes"), key, v)
		if (!json_array_has(used, key) &&
		    !strcmp(json_get_str(v, "type"), "var"))
			check_warn(c, "var axis '%s' is in no shape: a"
				   " workload's value of it means nothing",
				   key);
	check_reference(c, d);
	check_constraints(c, d);
	check_tags(c, d);
	check_name(c, d, name);
out:
	json_decref(used);
	return ok;
}
