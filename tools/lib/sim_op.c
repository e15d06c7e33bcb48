#include "sim_arg.h"

#include <ctype.h>

struct sim_op {
	const struct wl_target *t;
	const struct sim_view *v;
	const json_t *sim;
	char *module, *class;		/* class: NULL for a function */
	struct sim_part plan, run;
	const char *on;			/* "decode", "prefill", "sample",
					   "cached", or NULL: each step */
	bool own;			/* ragged: its own tokens alone */
	long id;
	struct sim_rows rows;
};

static void name_calls(struct sim_op *op)
{
	const char *api = NULL, *last;
	struct strbuf sb = STRBUF_INIT;
	json_t *tag;
	size_t i;

	json_array_foreach(json_object_get(op->t->def, "tags"), i, tag)
		if (!api && json_is_string(tag) &&
		    !strncmp(json_string_value(tag), "fi_api:", 7))
			api = json_string_value(tag) + 7;
	if (!api)
		api = json_string_value(json_array_get(json_object_get(
				op->t->t.json, "fi_api"), 0));
	last = api ? strrchr(api, '.') : NULL;
	if (!last)
		return;
	op->module = xstrndup(api, (size_t)(last - api));
	last++;
	if (!isupper((unsigned char)*last)) {
		op->run.function = xstrdup(last);
		return;
	}
	op->class = xstrdup(last);
	strbuf_addf(&sb, "%s.run", last);
	op->run.function = strbuf_detach(&sb);
	strbuf_addf(&sb, "%s.plan", last);
	op->plan.function = strbuf_detach(&sb);
}

static const char *steps_of(const struct sim_op *op)
{
	const char *on = json_get_str(op->sim, "on");

	if (on)
		return strcmp(on, "both") ? on : NULL;
	if (sim_input(op->t, "qo_indptr") || sim_input(op->t, "cu_seqlens"))
		return "prefill";
	return sim_input(op->t, "kv_indptr") ? "decode" : NULL;
}

struct sim_op *sim_op_new(const struct wl_target *t, const struct sim_view *v,
			  struct strbuf *err)
{
	struct sim_op *op = xcalloc(1, sizeof(*op));
	const json_t *ps;
	const char *s;
	unsigned long id = 5381;

	op->t = t;
	op->v = v;
	op->sim = json_object_get(t->t.json, "sim");
	name_calls(op);
	ps = json_object_get(json_object_get(json_object_get(t->def, "axes"),
			     "page_size"), "value");
	if (!op->run.function) {
		strbuf_addf(err, "%s: no FlashInfer API implements it",
			    t->name);
		goto fail;
	}
	if (ps && json_integer_value(ps) != v->page_size) {
		strbuf_addf(err, "%s: its page size is not the session's, %d",
			    t->name, v->page_size);
		goto fail;
	}
	for (s = t->name; *s; s++)
		id = id * 33 + (unsigned char)*s;
	op->id = (long)(0x7f0000000000 + (id & 0xffffffff) * 16);
	op->on = steps_of(op);
	op->own = sim_input(op->t, "qo_indptr") && !sim_input(op->t, "kv_indices");
	if (!sim_args(t, &op->plan, &op->run, op->class != NULL, err))
		return op;
fail:
	sim_op_free(op);
	return NULL;
}

void sim_op_free(struct sim_op *op)
{
	sim_part_release(&op->plan);
	sim_part_release(&op->run);
	free(op->module);
	free(op->class);
	free(op);
}

const char *sim_op_name(const struct sim_op *op)
{
	return op->t->name;
}

/* ---- a step ---- */

static int64_t const_of(const struct sim_op *op, const char *axis)
{
	const json_t *v = json_object_get(json_object_get(json_object_get(
			op->t->def, "axes"), axis), "value");

	return json_is_integer(v) ? json_integer_value(v) : -1;
}

/* The tensor of an input; its values are kept in *keep for free(). */
static int tensor_of(struct sim_op *op, const char *input, bool pair,
		     struct sim_tensor *t, int64_t **keep, struct strbuf *err)
{
	const json_t *spec = sim_input(op->t, input), *dim;
	json_t *shape = json_object_get(spec, "shape");
	int64_t count = 1, n, inner = 1, limit;
	size_t i;

	*t = (struct sim_tensor){ .dtype = json_get_str(spec, "dtype") };
	json_array_foreach(shape, i, dim) {
		const char *axis = json_string_value(dim);

		n = const_of(op, axis);
		if (n < 0)
			n = sim_axis(&op->rows, axis, json_get_str(
				     json_object_get(op->sim, "axes"), axis));
		if (n < 0 || t->ndim == SIM_DIMS ||
		    !sim_dtype_size(t->dtype)) {
			strbuf_addf(err, "%s: nothing tells what axis %s of"
				    " input '%s' is in a step", op->t->name,
				    axis, input);
			return -1;
		}
		/* SGLang's cache of page size 1 has no page axis */
		if (pair && !strcmp(axis, "page_size") &&
		    const_of(op, axis) == 1)
			continue;
		t->shape[t->ndim++] = n;
		inner = n;
		if (__builtin_mul_overflow(count, n, &count) ||
		    count > ((int64_t)1 << 40)) {
			strbuf_addf(err, "%s: input '%s' is too large",
				    op->t->name, input);
			return -1;
		}
	}
	limit = const_of(op, "num_experts");
	if (!strcmp(t->dtype, "int32") || !strcmp(t->dtype, "int64"))
		t->values = *keep = sim_values(&op->rows, input, count, inner,
					       limit);
	return 0;
}

/*
 * As the engine passes it: the last two dimensions exchanged, a dimension of
 * one behind the first or before it.
 */
static int as_called(const struct sim_op *op, const char *arg,
		     struct sim_tensor *t, struct strbuf *err)
{
	bool front = json_array_has(json_object_get(op->sim, "batch"), arg);
	int64_t last;

	if (t->ndim > 1 && json_array_has(json_object_get(op->t->map.how,
							  "transposed"), arg)) {
		last = t->shape[t->ndim - 1];
		t->shape[t->ndim - 1] = t->shape[t->ndim - 2];
		t->shape[t->ndim - 2] = last;
	}
	if (!front && !json_array_has(json_object_get(op->sim, "unsqueeze"),
				      arg))
		return 0;
	if (t->ndim == SIM_DIMS || !t->ndim) {
		strbuf_addf(err, "%s: %s has no room for one more dimension",
			    op->t->name, arg);
		return -1;
	}
	memmove(t->shape + 2 - front, t->shape + 1 - front,
		(size_t)(t->ndim - 1 + front) * sizeof(*t->shape));
	t->shape[1 - front] = 1;
	t->ndim++;
	return 0;
}

static int fill(struct sim_op *op, const struct sim_source_arg *a, struct sim_arg *out,
		int64_t **keep, struct strbuf *err)
{
	const char *dtype;
	int i, ret = 0;

	*out = a->literal;
	out->name = a->keyword ? a->name : NULL;
	if (a->from == FROM_LITERAL)
		return 0;
	if (a->from == FROM_ROWS) {
		int64_t n = op->rows.n + !strcmp(a->input[0], "qo_indptr");

		out->kind = SIM_TENSOR;
		out->t[0] = (struct sim_tensor){ .dtype = "int32", .ndim = 1,
						 .shape = { n } };
		out->t[0].values = *keep = sim_values(&op->rows, a->input[0],
						      n, 1, 0);
		return 0;
	}
	if (a->from == FROM_PAIR) {
		out->kind = SIM_PAIR;
		for (i = 0; i < 2 && !ret; i++)
			ret = tensor_of(op, a->input[i], true, &out->t[i],
					&keep[i], err);
		return ret;
	}
	if (a->from == FROM_JOINED) {
		out->kind = SIM_TENSOR;
		ret = tensor_of(op, a->input[0], false, &out->t[0], keep, err);
		if (!ret)
			ret = tensor_of(op, a->input[1], false, &out->t[1],
					keep + 1, err);
		if (!ret)
			out->t[0].shape[out->t[0].ndim - 1] +=
				out->t[1].shape[out->t[1].ndim - 1];
		return ret ? ret : as_called(op, a->name, &out->t[0], err);
	}
	dtype = json_get_str(sim_input(op->t, a->input[0]), "dtype");
	if (json_is_null(json_object_get(sim_input(op->t, a->input[0]),
					 "shape"))) {
		bool whole = !strncmp(dtype, "int", 3);

		out->kind = whole ? SIM_NUMBER : SIM_REAL;
		out->number = whole ? 0 : 1.0;
		return 0;
	}
	out->kind = SIM_TENSOR;
	ret = tensor_of(op, a->input[0], false, &out->t[0], keep, err);
	/* lengths of requests stand where the definition has last pages */
	if (!ret && a->from == FROM_LENGTHS)
		for (i = 0; i < op->rows.n; i++)
			(*keep)[i] = op->rows.row[i]->had +
				op->rows.row[i]->fresh;
	return ret ? ret : as_called(op, a->name, &out->t[0], err);
}

static int outputs_of(struct sim_op *op, struct sim_tensor out[2],
		      struct strbuf *err)
{
	const char *name, *dtype = json_get_str(op->sim, "result");
	json_t *spec, *dim;
	size_t i;
	int n = 0;

	json_object_foreach(json_object_get(op->t->def, "outputs"), name,
			    spec) {
		if (n == 2)
			break;
		out[n] = (struct sim_tensor){ .dtype = dtype ? dtype :
			json_get_str(spec, "dtype") };
		json_array_foreach(json_object_get(spec, "shape"), i, dim) {
			const char *axis = json_string_value(dim);
			int64_t v = const_of(op, axis);

			if (v < 0)
				v = sim_axis(&op->rows, axis, json_get_str(
					json_object_get(op->sim, "axes"),
					axis));
			if (v < 0 || out[n].ndim == SIM_DIMS ||
			    !sim_dtype_size(out[n].dtype)) {
				strbuf_addf(err, "%s: nothing tells what axis"
					    " %s is in a step", op->t->name,
					    axis);
				return -1;
			}
			out[n].shape[out[n].ndim++] = v;
		}
		n++;
	}
	return n;
}

static int one_call(struct sim_op *op, struct sim_part *p, bool plan, int dirfd,
		    long long *ms, struct strbuf *err)
{
	struct sim_arg arg[SIM_ARGS];
	int64_t *keep[2 * SIM_ARGS] = { NULL };
	struct sim_tensor out[2];
	struct sim_call c = { .function = p->function, .module = op->module,
		.signature = p->signature, .self = op->class, .self_id = op->id,
		.arg = arg, .n = p->n, .out = out };
	size_t i;
	int n = 0, ret = 0;

	if (!plan) {
		n = outputs_of(op, out, err);
		ret = n < 0 ? -1 : 0;
		/* one tensor unless lse is asked for; in place: none */
		c.nout = n == 2 && op->class ? 1 : (size_t)(n > 0 ? n : 0);
		if (json_is_true(json_object_get(op->sim, "in_place")))
			c.nout = 0;
	}
	for (i = 0; i < p->n && !ret; i++)
		ret = fill(op, &p->arg[i], &arg[i], keep + 2 * i, err);
	if (!ret) {
		c.ms = ++*ms;
		c.sequence = ++p->sequence;
		ret = sim_dump(dirfd, &c, err);
	}
	for (i = 0; i < ARRAY_SIZE(keep); i++)
		free(keep[i]);
	return ret;
}

/* The rows of the step that the op is called on. */
static void choose_rows(struct sim_op *op, const struct sim_step *step)
{
	struct sim_rows *r = &op->rows;
	bool sample = op->on && !strcmp(op->on, "sample");
	bool cached = op->on && !strcmp(op->on, "cached");
	int i;

	*r = (struct sim_rows){ .v = op->v, .prefill = step->prefill,
				.sampling = sample, .own = op->own };
	if (op->on && !sample &&
	    step->prefill != (cached || !strcmp(op->on, "prefill")))
		return;
	for (i = 0; i < step->n && r->n < (int)ARRAY_SIZE(r->row); i++) {
		const struct sim_row *row = &step->row[i];

		if (sample && !row->samples)
			continue;
		r->row[r->n++] = row;
		r->tokens += row->fresh;
		r->kv_tokens += row->had + row->fresh;
		r->kv_pages += row->npages;
		r->longest = row->npages > r->longest ? row->npages
						      : r->longest;
	}
	for (i = 0; cached && i < r->n && !r->row[i]->had; i++)
		;
	if (cached && i == r->n)
		r->n = 0;
}

int sim_op_step(struct sim_op *op, const struct sim_step *step, int dirfd,
		long long *ms, struct strbuf *err)
{
	int n = 0;

	choose_rows(op, step);
	if (!op->rows.n)
		return 0;
	if (op->class && op->plan.n) {
		if (one_call(op, &op->plan, true, dirfd, ms, err))
			return -1;
		n++;
	}
	return one_call(op, &op->run, false, dirfd, ms, err) ? -1 : n + 1;
}
