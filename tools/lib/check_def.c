#include "check.h"
#include "kernels.h"
#include "pyexpr.h"
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

void check_note(struct check_seen *s, const char *text, size_t line)
{
	s->v = xroom(s->v, s->n, sizeof(*s->v));
	if (!s->n)
		s->text = (struct strbuf)STRBUF_INIT;
	s->v[s->n].at = s->text.len;
	s->v[s->n++].line = line;
	strbuf_add(&s->text, text, strlen(text) + 1);
}

const char *check_noted(const struct check_seen *s, size_t i)
{
	return s->text.buf + s->v[i].at;
}

static void forget(struct check_seen *s)
{
	if (s->n)
		strbuf_release(&s->text);
	free(s->v);
}

void check_release(struct check *c)
{
	json_decref(c->findings);
	forget(&c->uuids);
	forget(&c->used_blobs);
	forget(&c->covered);
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

static bool text_at(struct check *c, const struct jval *o, const char *key)
{
	const char *s = jv_get_str(o, key);

	if (s && *s)
		return true;
	check_error(c, "key '%s' is %s", key, !jv_get(o, key) ?
		    "missing" : s ? "empty" : "no string");
	return false;
}

static void described(struct check *c, const struct jval *o, const char *what,
		      const char *name)
{
	const char *s = jv_get_str(o, "description");

	if (!s || !*s)
		check_warn(c, "missing description: %s%s%s", what,
			   name ? "." : "", name ? name : "");
}

static bool check_axes(struct check *c, const struct jval *d)
{
	const struct jval *axes = jv_get(d, "axes"), *a, *v;
	const char *name, *type;
	bool ok = true;

	if (!jv_is(axes, J_OBJ)) {
		check_error(c, "key 'axes' is no object");
		return false;
	}
	jv_each(a, axes) {
		name = a->key;
		type = jv_get_str(a, "type");
		v = jv_get(a, "value");
		described(c, a, "axes", name);
		if (type && !strcmp(type, "var"))
			continue;
		ok = false;
		if (!type || strcmp(type, "const"))
			check_error(c, "axis '%s' is neither var nor const",
				    name);
		else if (!jv_is(v, J_INT) || jv_int(v) < 1)
			check_error(c, "const axis '%s' has no value of 1 or"
				    " more", name);
		else
			ok = true;
		if (!ok)
			return false;
	}
	return true;
}

static bool check_tensors(struct check *c, const struct jval *d,
			  const char *key)
{
	const struct jval *m = jv_get(d, key), *t, *dim, *shape;
	const struct jval *axes = jv_get(d, "axes");
	const char *name;
	bool ok = true;

	if (!jv_is(m, J_OBJ) || !jv_size(m)) {
		check_error(c, "key '%s' is no object with tensors", key);
		return false;
	}
	jv_each(t, m) {
		name = t->key;
		shape = jv_get(t, "shape");
		described(c, t, key, name);
		if (!is_dtype(jv_get_str(t, "dtype"))) {
			check_error(c, "%s.%s: dtype '%s' is not known", key,
				    name, jv_get_str(t, "dtype") ?
				    jv_get_str(t, "dtype") : "");
			ok = false;
		}
		if (!shape || (!jv_is(shape, J_ARR) &&
			       !jv_is(shape, J_NULL))) {
			check_error(c, "%s.%s: shape is neither a list nor"
				    " null", key, name);
			ok = false;
		}
		jv_each(dim, shape) {
			const char *s = jv_str(dim);

			if (s && jv_get(axes, s))
				continue;
			check_error(c, "%s.%s: shape names axis '%s', which is"
				    " not declared", key, name, s ? s : "?");
			ok = false;
		}
	}
	return ok;
}

/* ---- the reference ---- */

struct params {
	const char *s[64];
	uint32_t len[64];
	size_t n;		/* of all, also of those that did not fit */
	bool is_async;
};

/* Behind `def run`: the names of its parameters, the last def counts. */
static void read_params(struct pytok *tz, struct params *p)
{
	struct py_token t, prev;

	p->n = 0;
	pytok_next(tz, &t);
	for (prev = t, pytok_next(tz, &t);
	     t.kind != PY_EOF && t.kind != PY_ERROR &&
	     !(t.kind == PY_OP && t.depth == 1 && py_is(&t, ")"));
	     prev = t, pytok_next(tz, &t)) {
		if (t.depth != 1 || t.kind != PY_NAME || prev.kind != PY_OP ||
		    (!py_is(&prev, "(") && !py_is(&prev, ",")))
			continue;
		if (p->n < ARRAY_SIZE(p->s)) {
			p->s[p->n] = t.s;
			p->len[p->n] = t.len;
		}
		p->n++;
	}
}

/* The parameters of the top-level def run; false: there is none. */
static bool find_run(struct check *c, const struct jval *reference,
		     struct params *p)
{
	struct py_token t, prev = { .kind = PY_EOF }, before = prev;
	bool has = false;
	struct pytok tz;

	pytok_init(&tz, reference->s, reference->n);
	for (pytok_next(&tz, &t); t.kind != PY_EOF && t.kind != PY_ERROR;
	     before = prev, prev = t, pytok_next(&tz, &t)) {
		if (tz.levels > 1 || t.kind != PY_NAME || t.len != 3 ||
		    !py_is(&t, "run") || prev.kind != PY_NAME ||
		    !py_is(&prev, "def"))
			continue;
		if (before.kind == PY_NAME && py_is(&before, "async")) {
			p->is_async = true;
			continue;
		}
		has = true;
		read_params(&tz, p);
	}
	if (t.kind == PY_ERROR)
		check_error(c, "the reference is no Python: line %u", t.line);
	return has;
}

static void check_reference(struct check *c, const struct jval *d)
{
	const struct jval *inputs = jv_get(d, "inputs"), *v;
	struct params p = { .n = 0 };
	size_t i = 0;

	if (!find_run(c, jv_get(d, "reference"), &p)) {
		check_error(c, "the reference has no top-level function run%s",
			    p.is_async ? " (an async one does not count)" :
			    "");
		return;
	}
	jv_each(v, inputs) {
		if (i == ARRAY_SIZE(p.s))
			return;
		if (i >= p.n || p.len[i] != strlen(v->key) ||
		    memcmp(p.s[i], v->key, p.len[i])) {
			check_error(c, "run() takes '%.*s' where the inputs"
				    " have '%s' (number %zu): inputs are"
				    " passed by position",
				    i < p.n ? (int)p.len[i] : 7,
				    i < p.n ? p.s[i] : "nothing", v->key,
				    i + 1);
			return;
		}
		i++;
	}
	if (i < p.n && i < ARRAY_SIZE(p.s))
		check_error(c, "run() takes '%.*s', which is no input",
			    (int)p.len[i], p.s[i]);
}

/* ---- constraints: names and grammar; their truth needs a workload ---- */

static bool axis_declared(void *data, const char *name, bool *known,
			  double *value)
{
	const struct jval *a = jv_get(jv_get(data, "axes"), name);
	const struct jval *v = jv_get(a, "value");

	*known = v != NULL;
	*value = (double)jv_int(v);
	return a != NULL;
}

static bool tensor_declared(void *data, const char *name,
			    struct pyexpr_tensor *t)
{
	const struct jval *i = jv_get(jv_get(data, "inputs"),
					  name);
	const struct jval *shape = jv_get(i, "shape");

	*t = (struct pyexpr_tensor){ .ndim = (int)jv_size(shape) };
	return i != NULL;
}

static void check_constraints(struct check *c, const struct jval *d)
{
	struct pyexpr_env env = { (void *)(uintptr_t)d, axis_declared,
				  tensor_declared };
	const struct jval *list = jv_get(d, "constraints"), *v;

	if (list && !jv_is(list, J_ARR) && !jv_is(list, J_NULL))
		check_error(c, "key 'constraints' is no list");
	jv_each(v, jv_is(list, J_ARR) ? list : NULL) {
		struct strbuf why = STRBUF_INIT;
		const char *s = jv_str(v);
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

static void check_tags(struct check *c, const struct jval *d)
{
	const struct jval *tags = jv_get(d, "tags"), *v;
	bool status = false, model = false;

	jv_each(v, jv_is(tags, J_ARR) ? tags : NULL) {
		const char *s = jv_str(v);

		if (!s || !*s)
			check_error(c, "a tag is %s", s ? "empty" :
				    "no string");
		else if (!strncmp(s, "status:", 7))
			status = true;
		else if (!strncmp(s, "model:", 6))
			model = true;
	}
	if (tags && !jv_is(tags, J_ARR) && !jv_is(tags, J_NULL))
		check_error(c, "key 'tags' is no list");
	if (!status)
		check_warn(c, "no tag tells the status (status:verified or"
			   " status:unverified)");
	if (!model)
		check_warn(c, "no tag names a model");
}

/* The number after "_LETTERS" in the name, for axes that names carry. */
static void check_name(struct check *c, const struct jval *d, const char *name)
{
	json_t *pattern, *numbers = json_object(), *n;
	const struct jval *axis;
	const char *key;
	size_t i;

	json_array_foreach(c->templates, i, pattern)
		if (kernel_name_fits(json_string_value(pattern), name,
				     numbers))
			break;
		else
			json_object_clear(numbers);
	json_object_foreach(numbers, key, n) {
		axis = jv_get(jv_get(jv_get(d, "axes"), key), "value");
		if (axis && json_is_integer(n) &&
		    (axis->type != J_INT || axis->i != json_integer_value(n)))
			check_error(c, "the name says %lld for axis '%s',"
				    " which is %lld", (long long)
				    json_integer_value(n), key,
				    (long long)jv_int(axis));
	}
	json_decref(numbers);
}

static bool in_a_shape(const struct jval *tensors, const char *axis)
{
	const struct jval *t, *dim;

	jv_each(t, tensors)
		jv_each(dim, jv_get(t, "shape"))
			if (!strcmp(dim->s, axis))
				return true;
	return false;
}

bool check_definition(struct check *c, const struct jval *d, const char *op,
		      const char *stem)
{
	const char *name = jv_get_str(d, "name");
	const char *op_type = jv_get_str(d, "op_type");
	const struct jval *in = jv_get(d, "inputs"), *v;
	const struct jval *out = jv_get(d, "outputs");

	c->section = "layout";
	if (name && strcmp(name, stem))
		check_error(c, "name '%s' is not the file's, '%s'", name,
			    stem);
	if (op_type && strcmp(op_type, op))
		check_error(c, "op_type '%s' is not the folder's, '%s'",
			    op_type, op);
	c->section = "definition";
	if (!jv_is(d, J_OBJ)) {
		check_error(c, "it is no JSON object");
		return false;
	}
	if (!text_at(c, d, "name") || !text_at(c, d, "op_type") ||
	    !check_axes(c, d) || !check_tensors(c, d, "inputs") ||
	    !check_tensors(c, d, "outputs") || !text_at(c, d, "reference"))
		return false;
	described(c, d, "definition", NULL);
	jv_each(v, in)
		if (jv_get(out, v->key))
			check_error(c, "'%s' is both an input and an output",
				    v->key);
	jv_each(v, jv_get(d, "axes"))
		if (!strcmp(jv_get_str(v, "type"), "var") &&
		    !in_a_shape(in, v->key) && !in_a_shape(out, v->key))
			check_warn(c, "var axis '%s' is in no shape: a"
				   " workload's value of it means nothing",
				   v->key);
	check_reference(c, d);
	check_constraints(c, d);
	check_tags(c, d);
	check_name(c, d, name);
	return true;
}

char *check_made(const json_t *made, const char *op, const char *stem)
{
	struct check c = { .section = "definition" };
	struct jdoc doc = JDOC_INIT;
	char *why = NULL;
	json_t *v;
	size_t i;

	check_definition(&c, jdoc_copy(&doc, made), op, stem);
	json_array_foreach(c.findings, i, v)
		if (!why && !strcmp(json_get_str(v, "level"), "error"))
			why = xstrdup(json_get_str(v, "message"));
	check_release(&c);
	jdoc_release(&doc);
	return why;
}
