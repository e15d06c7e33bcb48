#include "dumphold.h"
#include "dumpview.h"

#include <math.h>

#define MOST_BYTES ((uint64_t)1 << 20)	/* of an int8 input */

static struct dump *side(const struct dump_mapping *x, const char *where)
{
	return strncmp(where, "plan.", 5) ? x->call : x->plan;
}

static json_int_t const_axis(const struct dump_mapping *x, const char *axis)
{
	return dump_const(x->m->definition, axis);
}

/* Binds or compares one dimension; quiet: only tells whether it fits. */
static bool dimension(struct dump_mapping *x, const char *axis, int64_t n,
		      const char *input, json_t *bound)
{
	json_int_t c = const_axis(x, axis);
	const json_t *had = json_object_get(bound, axis);

	if (c >= 0 && c != n)
		strbuf_addf(x->why, "const axis %s of input '%s' is %lld, not"
			    " %lld", axis, input, (long long)n, (long long)c);
	else if (c < 0 && had && json_integer_value(had) != n)
		strbuf_addf(x->why, "axis %s is %lld by input '%s', %lld by"
			    " another", axis, (long long)n, input,
			    (long long)json_integer_value(had));
	else if (c < 0)
		json_object_set_new(bound, axis, json_integer(n));
	return !x->why->len;
}

static bool bind_shape(struct dump_mapping *x, const json_t *shape,
		       const struct st_tensor *t, const char *input)
{
	json_t *bound = json_copy(x->bound), *v;
	size_t i;

	if (json_array_size(shape) != (size_t)t->ndim) {
		strbuf_addf(x->why, "input '%s' has %d dimensions, not %zu",
			    input, t->ndim, json_array_size(shape));
	} else {
		json_array_foreach((json_t *)shape, i, v)
			if (!dimension(x, json_string_value(v), t->shape[i],
				       input, bound))
				break;
	}
	if (!x->why->len)
		json_object_update(x->bound, bound);
	json_decref(bound);
	return !x->why->len;
}

static int values(struct dump_mapping *x, struct dump *d,
		  const struct st_tensor *t, const char *input,
		  struct check_input *in)
{
	in->values = dump_ints(d, t, &in->n, x->why);
	if (in->values)
		return 0;
	if (!x->why->len)
		strbuf_addf(x->why, "input '%s' cannot be read", input);
	return -1;
}

static void set_shape(struct check_input *in, const struct st_tensor *t)
{
	in->known_shape = true;
	in->ndim = t->ndim;
	memcpy(in->shape, t->shape, sizeof(in->shape));
}

/*
 * Whether the recorded values belong to the workload: indices and lengths do.
 * Bytes are packed weights or caches; a workload does not carry them along.
 */
static bool holds_values(const char *want, const struct st_tensor *t)
{
	return dump_whole_dtype(want) &&
		(strcmp(want, "int8") || t->size <= MOST_BYTES);
}

static int take_tensor(struct dump_mapping *x, const char *where,
		       const char *name, const json_t *spec,
		       const struct dump_value *v, size_t at)
{
	const char *want = json_get_str(spec, "dtype");
	const char *have = st_dtype_name(v->t.dtype);
	const json_t *shape = json_object_get(spec, "shape");
	struct strbuf first = STRBUF_INIT;
	struct check_input *in = &x->w->input[at].in;
	struct st_tensor t = v->t;
	int way;

	if (!dump_same_dtype(have, want)) {
		strbuf_addf(x->why, "input '%s' is %s, not %s", name,
			    have ? have : v->t.dtype, want);
		return -1;
	}
	for (way = 0; way < DUMP_VIEWS; way++) {
		t = v->t;
		strbuf_reset(x->why);
		if (dump_view(x->m->definition, shape, way, &t) &&
		    bind_shape(x, shape, &t, name))
			break;
		if (!way)
			strbuf_addstr(&first, x->why->buf);
	}
	strbuf_reset(x->why);
	if (way == DUMP_VIEWS)
		strbuf_addstr(x->why, first.buf);
	strbuf_release(&first);
	if (x->why->len)
		return -1;
	set_shape(in, &t);
	x->w->input[at].random = !holds_values(want, &v->t);
	return x->w->input[at].random ? 0 : values(x, side(x, where), &v->t,
						   name, in);
}

/* One number for every row where the definition has one a row. */
static int take_repeated(struct dump_mapping *x, const char *name,
			 const json_t *spec, const struct dump_value *v,
			 size_t at)
{
	const json_t *shape = json_object_get(spec, "shape");
	struct check_input *in = &x->w->input[at].in;
	const json_t *rows = json_object_get(x->bound, json_string_value(
					     json_array_get(shape, 0)));
	size_t i;

	if (json_array_size(shape) != 1 || !rows || !v->whole ||
	    !dump_whole_dtype(json_get_str(spec, "dtype"))) {
		strbuf_addf(x->why, "input '%s' is one value, not a tensor",
			    name);
		return -1;
	}
	in->known_shape = true;
	in->ndim = 1;
	in->shape[0] = json_integer_value(rows);
	in->n = (size_t)in->shape[0];
	in->values = xcalloc(in->n, sizeof(*in->values));
	for (i = 0; i < in->n; i++)
		in->values[i] = (int64_t)v->number;
	return 0;
}

/* Lengths of requests -> tokens in their last pages. */
static int take_last_page(struct dump_mapping *x, const char *where,
			  const char *name, size_t at)
{
	struct check_input *in = &x->w->input[at].in;
	json_int_t ps = const_axis(x, "page_size");
	struct dump_value v;
	char *arg = xstrndup(where + 14, strcspn(where + 14, ")"));
	int ret = dump_look(x, arg, &v);
	size_t i;

	if (!ret && (v.kind != DUMP_TENSOR || v.t.ndim != 1 || ps < 1)) {
		strbuf_addf(x->why, "input '%s': there is no %s", name, arg);
		ret = -1;
	}
	if (!ret)
		ret = values(x, side(x, arg), &v.t, name, in);
	free(arg);
	if (ret)
		return ret;
	set_shape(in, &v.t);
	for (i = 0; i < in->n; i++)
		in->values[i] = in->values[i] > 0 ?
			(in->values[i] - 1) % ps + 1 : 0;
	return dimension(x, "batch_size", v.t.shape[0], name, x->bound) ? 0
									: -1;
}

static int take_scalar(struct dump_mapping *x, const char *where,
		       const char *name, const struct dump_value *v,
		       size_t at)
{
	struct check_input one = { .values = NULL };

	x->w->input[at].scalar = true;
	if (!strncmp(where, "1/sqrt(", 7)) {
		char *axis = xstrndup(where + 7, strcspn(where + 7, ")"));

		x->w->input[at].number = 1 / sqrt((double)const_axis(x, axis));
		free(axis);
		return 0;
	}
	if (v->kind == DUMP_TENSOR && v->t.size == 4 &&
	    !strcmp(v->t.dtype, "F32")) {
		float f;

		if (st_bytes(&side(x, where)->tensors, &v->t, &f, x->why))
			return -1;
		x->w->input[at].number = (double)f;
		return 0;
	}
	if (v->kind == DUMP_TENSOR && v->t.size <= 8 &&
	    strchr("IU", v->t.dtype[0])) {
		if (values(x, side(x, where), &v->t, name, &one))
			return -1;
		x->w->input[at].number = (double)one.values[0];
		x->w->input[at].whole = true;
		free(one.values);
		return 0;
	}
	if (v->kind != DUMP_NUMBER && v->kind != DUMP_BOOL) {
		strbuf_addf(x->why, "scalar '%s' was not recorded", name);
		return -1;
	}
	if (!isfinite(v->number)) {
		strbuf_addf(x->why, "scalar '%s' is no finite number", name);
		return -1;
	}
	x->w->input[at].number = v->number;
	x->w->input[at].whole = v->whole || v->kind == DUMP_BOOL;
	return 0;
}

/* Whether there is something at `where`; v is what. */
static int is_there(struct dump_mapping *x, const char *where,
		    struct dump_value *v)
{
	*v = (struct dump_value){ .kind = DUMP_ABSENT };
	if (!strncmp(where, "1/sqrt(", 7) || !strcmp(where, "random") ||
	    !strncmp(where, "last_page_len(", 14))
		return 1;
	if (dump_look(x, where, v))
		return -1;
	return v->kind != DUMP_ABSENT && v->kind != DUMP_NONE;
}

static json_int_t last_dimension(const struct dump_mapping *x,
				 const json_t *spec)
{
	const json_t *shape = json_object_get(spec, "shape");
	size_t n = json_array_size(shape);

	return n ? const_axis(x, json_string_value(json_array_get(shape,
						   n - 1))) : -1;
}

/* "query[0]": of a tensor that inputs share, the input's part. */
static int take_part(struct dump_mapping *x, const char *where,
		     const char *name, const json_t *spec, struct st_tensor *t)
{
	size_t stem = strcspn(where, "[") + 1;
	json_int_t all = 0, one, own = last_dimension(x, spec);
	const char *input;
	json_t *w;

	json_object_foreach(json_object_get(x->m->how, "inputs"), input, w) {
		if (!json_is_string(w) || strncmp(json_string_value(w), where,
						  stem))
			continue;
		one = last_dimension(x, json_object_get(json_object_get(
				x->m->definition, "inputs"), input));
		if (one < 1)
			own = -1;
		all += one;
	}
	if (own < 1 || !t->ndim || strchr("IU", t->dtype[0])) {
		strbuf_addf(x->why, "input '%s' cannot be a part of %.*s",
			    name, (int)stem - 1, where);
		return -1;
	}
	if (t->shape[t->ndim - 1] != all) {
		strbuf_addf(x->why, "the last dimension of %.*s is %lld, not"
			    " %lld", (int)stem - 1, where,
			    (long long)t->shape[t->ndim - 1], (long long)all);
		return -1;
	}
	t->shape[t->ndim - 1] = own;
	return 0;
}

/* The first two dimensions of what the template calls flat, as one; then transposed. */
static int reshape(struct dump_mapping *x, const char *where,
		   const json_t *spec, struct st_tensor *t)
{
	size_t rank = json_array_size(json_object_get(spec, "shape"));
	char *arg = xstrndup(where, strcspn(where, "["));
	bool flat = json_array_has(json_object_get(x->m->how, "flat"), arg) &&
		(size_t)t->ndim == rank + 1 && t->ndim > 1;
	bool swap = json_array_has(json_object_get(x->m->how, "transposed"),
				   arg) && strchr("IU", t->dtype[0]) == NULL;
	int64_t last;

	free(arg);
	if (flat && __builtin_mul_overflow(t->shape[0], t->shape[1], &t->shape[0])) {
		strbuf_addf(x->why, "the shape of %s is not possible", where);
		return -1;
	}
	if (flat) {
		memmove(t->shape + 1, t->shape + 2, (size_t)(t->ndim - 2) *
			sizeof(*t->shape));
		t->ndim--;
	}
	if (swap && t->ndim == (int)rank && rank > 1) {
		last = t->shape[rank - 1];
		t->shape[rank - 1] = t->shape[rank - 2];
		t->shape[rank - 2] = last;
	}
	return 0;
}

static int take_input(struct dump_mapping *x, const char *name, const json_t *spec,
		      size_t at)
{
	const json_t *how = json_object_get(json_object_get(x->m->how,
					    "inputs"), name), *one;
	const char *where = name;
	struct dump_value v;
	size_t i = 0;
	int there;

	for (;;) {
		one = json_is_array(how) ? json_array_get(how, i) : how;
		where = one ? json_string_value(one) : name;
		there = is_there(x, where, &v);
		if (there < 0)
			return -1;
		if (there || ++i >= json_array_size(how))
			break;
	}
	x->w->input[at].name = name;
	x->w->input[at].spec = spec;
	x->w->input[at].dtype = json_get_str(spec, "dtype");
	if (json_is_null(json_object_get(spec, "shape")))
		return take_scalar(x, where, name, &v, at);
	if (!strncmp(where, "last_page_len(", 14))
		return take_last_page(x, where, name, at);
	if (!strcmp(where, "random")) {
		x->w->input[at].random = true;
		return 0;
	}
	if (v.kind == DUMP_TENSOR &&
	    ((strchr(where, '[') && take_part(x, where, name, spec, &v.t)) ||
	     reshape(x, where, spec, &v.t)))
		return -1;
	if (v.kind == DUMP_TENSOR)
		return take_tensor(x, where, name, spec, &v, at);
	if (v.kind == DUMP_NUMBER)
		return take_repeated(x, name, spec, &v, at);
	strbuf_addf(x->why, "input '%s' was not recorded", name);
	return -1;
}

/* ---- the whole ---- */

/* kv_indices is planned longer than what indptr uses. */
static void cut_indices(struct workload *w, json_t *bound)
{
	int p = workload_input(w, "kv_indptr"), i = workload_input(w, "kv_indices");
	struct check_input *ptr, *idx;

	if (p < 0 || i < 0)
		return;
	ptr = &w->input[p].in;
	idx = &w->input[i].in;
	if (!ptr->n || !idx->values)
		return;
	if (ptr->values[ptr->n - 1] >= 0 &&
	    (uint64_t)ptr->values[ptr->n - 1] < idx->n) {
		idx->n = (size_t)ptr->values[ptr->n - 1];
		idx->shape[0] = (int64_t)idx->n;
		json_object_set_new(bound, json_string_value(json_array_get(json_object_get(
				w->input[i].spec, "shape"), 0)), json_integer(idx->shape[0]));
	}
}

static int all_axes(struct dump_mapping *x)
{
	const char *name;
	json_t *a;

	x->w->axes = json_object();
	json_object_foreach(json_object_get(x->m->definition, "axes"), name,
			    a) {
		const json_t *v = json_object_get(x->bound, name);

		if (!strcmp(json_get_str(a, "type"), "const"))
			continue;
		if (!v) {
			strbuf_addf(x->why, "axis %s was not seen", name);
			return -1;
		}
		if (json_integer_value(v) < 1) {
			strbuf_addf(x->why, "axis %s is %lld", name,
				    (long long)json_integer_value(v));
			return -1;
		}
		json_object_set(x->w->axes, name, (json_t *)v);
	}
	return 0;
}

static int64_t axis_of(const void *axes, const char *name)
{
	const json_t *v = json_object_get(axes, name);

	return v ? json_integer_value(v) : -1;
}

static int hold_values(struct dump_mapping *x)
{
	struct check c = { .section = "workload" };
	struct check_input in[ARRAY_SIZE(x->w->input)];
	size_t i;

	for (i = 0; i < x->w->n; i++)
		in[i] = x->w->input[i].in;
	check_values_of(&c, x->m->checked, axis_of, x->w->axes, in, x->w->n);
	if (c.errors)
		strbuf_addstr(x->why, json_get_str(json_array_get(c.findings,
						   0), "message"));
	check_release(&c);
	return x->why->len ? -1 : 0;
}

int dumpmap_try(const struct dumpmap *m, struct dump *call,
		struct dump *plan, struct workload *w,
		struct strbuf *why)
{
	struct dump_mapping x = { m, call, plan, w, json_object(), why };
	json_t *spec;
	const char *name;
	int ret = -1;

	memset(w, 0, sizeof(*w));
	if (json_is_true(json_object_get(m->how, "plan")) && !plan) {
		strbuf_addstr(why, "no plan() of its wrapper stands before"
			      " it");
		goto out;
	}
	if (dump_hold(&x))
		goto out;
	json_object_foreach(json_object_get(m->definition, "inputs"), name,
			    spec) {
		if (w->n == ARRAY_SIZE(w->input)) {
			strbuf_addstr(why, "the definition has too many"
				      " inputs");
			goto out;
		}
		if (take_input(&x, name, spec, w->n++))
			goto out;
	}
	cut_indices(w, x.bound);
	if (all_axes(&x) || hold_values(&x) || dump_hold_causal(&x))
		goto out;
	workload_name(w, json_get_str(m->definition, "name"));
	ret = 0;
out:
	json_decref(x.bound);
	if (ret)
		workload_release(w);
	return ret;
}
