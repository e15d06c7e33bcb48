#include "dumphold.h"
#include "dumpview.h"

int dump_look(const struct dump_mapping *x, const char *where,
		struct dump_value *v)
{
	const struct dump *d = x->call;
	const char *dot;
	char *name;
	int item = -1, ret;

	*v = (struct dump_value){ .kind = DUMP_ABSENT };
	if (!strncmp(where, "plan.", 5)) {
		d = x->plan;
		where += 5;
		if (!d)
			return 0;
	}
	dot = strchr(where, '.');
	name = xstrndup(where, strcspn(where, ".["));
	if (dot)
		item = dot[1] - '0';
	ret = dump_arg(d, name, item, v, x->why);
	/* both halves of a KV cache in one tensor: axis 1 tells them apart */
	if (!ret && dot && v->kind == DUMP_ABSENT) {
		ret = dump_arg(d, name, -1, v, x->why);
		if (!ret && v->kind == DUMP_TENSOR && v->t.ndim >= 4 &&
		    v->t.shape[1] == 2 && v->t.ndim < ST_MAX_DIMS) {
			memmove(v->t.shape + 1, v->t.shape + 2,
				(size_t)(v->t.ndim - 2) *
				sizeof(*v->t.shape));
			v->t.ndim--;
		} else {
			v->kind = DUMP_ABSENT;
		}
	}
	free(name);
	return ret;
}

static int hold_numbers(struct dump_mapping *x)
{
	struct dump_value v;
	const char *name;
	json_t *where;

	json_object_foreach(json_object_get(x->m->how, "hold"), name, where) {
		json_int_t want = dump_const(x->m->definition, name);
		const json_t *param = json_object_get(x->m->params, name);

		if (json_is_integer(param))
			want = json_integer_value(param);
		if (dump_look(x, json_string_value(where), &v))
			return -1;
		/* a bound that the definition's name does not have */
		if (want < 0 && v.kind == DUMP_NUMBER && v.number > 0 &&
		    !json_object_get(json_object_get(x->m->definition,
						     "axes"), name)) {
			strbuf_addf(x->why, "%s is %.15g, the definition has"
				    " none", name, v.number);
			return -1;
		}
		/* below 0: not told; an engine may tell it to forward() */
		if (want >= 0 && v.kind == DUMP_NUMBER && v.number >= 0 &&
		    v.number != (double)want) {
			strbuf_addf(x->why, "%s is %.15g, not %lld", name,
				    v.number, (long long)want);
			return -1;
		}
	}
	return 0;
}

static bool is_literal(const struct dump_value *v, const json_t *want)
{
	json_t *one;
	size_t i;

	if (json_is_null(want))
		return v->kind == DUMP_NONE ||
			(v->kind == DUMP_NUMBER && !(v->number > 0));
	if (json_is_string(want))
		return v->kind == DUMP_TEXT &&
			!strcmp(v->text, json_string_value(want));
	if (!json_is_array(want))
		return (v->kind == DUMP_NUMBER || v->kind == DUMP_BOOL) &&
			v->number == (json_is_boolean(want) ?
				      (double)json_is_true(want) :
				      json_number_value(want));
	json_array_foreach(want, i, one)
		if (is_literal(v, one))
			return true;
	return false;
}

static int hold_literals(struct dump_mapping *x)
{
	struct dump_value v;
	const char *where;
	json_t *want;

	json_object_foreach(json_object_get(x->m->how, "is"), where, want) {
		if (dump_look(x, where, &v))
			return -1;
		if (v.kind == DUMP_ABSENT || is_literal(&v, want))
			continue;
		strbuf_addf(x->why, "%s is not as the definition has it",
			    where);
		return -1;
	}
	return 0;
}

static int hold_queries(struct dump_mapping *x)
{
	const char *want = json_get_str(x->m->how, "queries");
	struct check_input in = { .values = NULL };
	struct dump_value v;
	bool one = true;
	size_t i;

	if (!want)
		return 0;
	if (dump_look(x, "plan.qo_indptr", &v))
		return -1;
	if (v.kind == DUMP_TENSOR)
		in.values = dump_ints(x->plan, &v.t, &in.n, x->why);
	if (!in.values) {
		if (!x->why->len)
			strbuf_addstr(x->why, "plan() has no qo_indptr");
		return -1;
	}
	for (i = 1; i < in.n; i++)
		one &= in.values[i] - in.values[i - 1] == 1;
	free(in.values);
	if (one == !strcmp(want, "one"))
		return 0;
	strbuf_addf(x->why, "its requests have %s query token",
		    one ? "one" : "more than one");
	return -1;
}

int dump_hold(struct dump_mapping *x)
{
	return hold_numbers(x) || hold_literals(x) || hold_queries(x) ? -1 : 0;
}

static const struct check_input *input_of(const struct workload *w, const char *name)
{
	int i = workload_input(w, name);

	return i < 0 ? NULL : &w->input[i].in;
}

/*
 * The queries of a causal call are its requests' last tokens. A prefix that is to be merged with them (SGLang, which
 * tells forward() so, and that is not logged) may have fewer keys than queries: references give nan for the rows that
 * then see none, so that no solution would pass.
 */
int dump_hold_causal(struct dump_mapping *x)
{
	const struct check_input *q = input_of(x->w, "qo_indptr"), *kv = input_of(x->w, "kv_indptr");
	const struct check_input *last = input_of(x->w, "kv_last_page_len");
	json_int_t page = dump_const(x->m->definition, "page_size");
	size_t b;

	if (!json_is_true(json_object_get(x->m->how, "causal")) || !q || !kv || !q->values || !kv->values)
		return 0;
	for (b = 0; b + 1 < q->n && b + 1 < kv->n; b++) {
		int64_t queries = q->values[b + 1] - q->values[b], keys = kv->values[b + 1] - kv->values[b];

		if (keys > 0 && page > 1)
			keys = (keys - 1) * page + (last && last->values && b < last->n ? last->values[b] : page);
		if (keys <= 0 || keys >= queries)
			continue;
		strbuf_addstr(x->why, "a request has fewer keys than queries: the call is not causal");
		return -1;
	}
	return 0;
}
