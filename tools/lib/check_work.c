#include "check.h"
#include "pyexpr.h"
#include "safetensors.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

struct work {
	struct check *c;
	const struct jval *d, *declared;	/* its axes */
	const struct jval *axes;		/* of the workload */
	int64_t (*axis)(const void *data, const char *name);
	const void *data;
	struct check_input in[64];	/* in the order of the inputs */
	size_t nin;
};

/* false: it has none here. */
static bool axis_value(const struct work *w, const char *name, int64_t *value)
{
	const struct jval *v = jv_get(jv_get(w->declared, name), "value");

	if (!v && w->axis) {
		*value = w->axis(w->data, name);
		return *value >= 0;
	}
	if (!v)
		v = jv_get(w->axes, name);
	*value = jv_int(v);
	return jv_is(v, J_INT);
}

static struct check_input *input_of(struct work *w, const char *name)
{
	const struct jval *v;
	size_t i = 0;

	jv_each(v, jv_get(w->d, "inputs")) {
		if (i == w->nin)
			break;
		if (!strcmp(v->key, name))
			return &w->in[i];
		i++;
	}
	return NULL;
}

static bool check_axes(struct work *w)
{
	const struct jval *a, *v;
	size_t var = 0;
	bool ok = true;

	if (!jv_is(w->axes, J_OBJ)) {
		check_error(w->c, "workload.axes is no object");
		return false;
	}
	jv_each(a, w->declared) {
		if (!strcmp(jv_get_str(a, "type"), "const"))
			continue;
		var++;
		v = jv_get(w->axes, a->key);
		if (!v) {
			check_error(w->c, "axis '%s' has no value", a->key);
			ok = false;
		} else if (!jv_is(v, J_INT) || jv_int(v) < 1) {
			check_error(w->c, "axis '%s' is %lld; it must be 1 or"
				    " more", a->key,
				    (long long)jv_int(v));
			ok = false;
		}
	}
	if (ok && jv_size(w->axes) != var) {
		jv_each(v, w->axes) {
			a = jv_get(w->declared, v->key);
			if (!a || jv_get(a, "value"))
				check_error(w->c, "axis '%s' is no var axis of"
					    " the definition", v->key);
		}
		ok = false;
	}
	return ok;
}

static bool is_integer(const char *dtype)
{
	return !strncmp(dtype, "int", 3);
}

/*
 * The blob's path below the dataset; NULL if it leaves it by its text. That
 * no symbolic link leads out of it is seen when it is opened.
 */
static const char *inside(const char *path)
{
	const char *p;

	while (!strncmp(path, "./", 2))
		path += 2;
	for (p = path; (p = strstr(p, "..")); p += 2)
		if ((p == path || p[-1] == '/') && (!p[2] || p[2] == '/'))
			return NULL;
	return *path == '/' || !*path ? NULL : path;
}

static int open_beneath(int dirfd, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
}

void check_blob_close(struct check_blob *b)
{
	if (b->path)
		st_close(&b->st);
	free(b->path);
	b->path = NULL;
}

/* The blob, opened unless it was the last; false: a finding. */
static bool get_blob(struct check *c, const char *name, const char *rel)
{
	struct strbuf why = STRBUF_INIT;
	struct check_blob *b = c->blob;
	int fd;

	if (b->path && !strcmp(b->path, rel))
		return true;
	check_blob_close(b);
	fd = open_beneath(c->dirfd, rel);
	if (fd < 0 && (errno == EXDEV || errno == ELOOP))
		check_error(c, "input '%s': path '%s' leaves the dataset",
			    name, rel);
	else if (fd < 0)
		check_error(c, "input '%s': unable to open %s: %s", name, rel,
			    strerror(errno));
	else if (st_open_fd(&b->st, fd, rel, &why))
		check_error(c, "input '%s': %s", name, why.buf);
	else
		b->path = xstrdup(rel);
	strbuf_release(&why);
	return b->path;
}

static void hold_blob(struct work *w, const char *name, const struct jval *spec,
		      const struct safetensors *st, const char *key,
		      struct check_input *in)
{
	const char *want = jv_get_str(spec, "dtype"), *have;
	struct strbuf why = STRBUF_INIT;
	struct st_tensor t;
	int i;

	if (st_find(st, key, &t, &why)) {
		check_error(w->c, "input '%s': %s", name, why.buf);
		goto out;
	}
	have = st_dtype_name(t.dtype);
	if (strcmp(have, want))
		check_error(w->c, "input '%s': the blob holds %s, the"
			    " definition says %s", name, have, want);
	for (i = 0; i < t.ndim || i < in->ndim; i++)
		if (t.ndim != in->ndim || t.shape[i] != in->shape[i]) {
			check_error(w->c, "input '%s': the blob's shape is not"
				    " that of the axes (dimension %d: %lld,"
				    " %lld)", name, i,
				    i < t.ndim ? (long long)t.shape[i] : -1,
				    i < in->ndim ? (long long)in->shape[i] :
				    -1);
			goto out;
		}
	if (is_integer(want) && is_integer(have) && t.size <= (64u << 20)) {
		in->values = st_ints(st, &t, &in->n, &why);
		if (!in->values)
			check_error(w->c, "input '%s': %s", name, why.buf);
	}
out:
	strbuf_release(&why);
}

static void check_blob(struct work *w, const char *name, const struct jval *spec,
		       const struct jval *e, struct check_input *in)
{
	const char *path = jv_get_str(e, "path"), *rel;
	const char *key = jv_get_str(e, "tensor_key");

	if (!path || !key) {
		check_error(w->c, "input '%s': path or tensor_key is missing",
			    name);
		return;
	}
	rel = inside(path);
	if (!rel) {
		check_error(w->c, "input '%s': path '%s' leaves the dataset",
			    name, path);
		return;
	}
	check_note(&w->c->used_blobs, rel, w->c->line);
	if (get_blob(w->c, name, rel))
		hold_blob(w, name, spec, &w->c->blob->st, key, in);
}

static bool ends_in(const char *s, const char *tail)
{
	size_t n = strlen(s), t = strlen(tail);

	return n >= t && !strcmp(s + n - t, tail);
}

/* Integer tensors whose values are positions in others. */
static bool is_index(const char *name, const char *dtype)
{
	static const char *const tails[] = { "indptr", "indices", "seqlens",
		"positions", "last_page_len", "block_table", "seq_lens",
		"page_table" };
	size_t i;

	for (i = 0; is_integer(dtype) && i < ARRAY_SIZE(tails); i++)
		if (ends_in(name, tails[i]))
			return true;
	return false;
}

static void check_input(struct work *w, const char *name, const struct jval *spec,
			const struct jval *e, struct check_input *in)
{
	const char *type = jv_get_str(e, "type");
	const char *dtype = jv_get_str(spec, "dtype");
	const struct jval *shape = jv_get(spec, "shape"), *dim, *v;

	in->known_shape = jv_size(shape) <= ST_MAX_DIMS;
	jv_each(dim, shape)
		if (in->known_shape)
			in->known_shape = axis_value(w,
				jv_str(dim),
				&in->shape[in->ndim++]);
	if (!type || (strcmp(type, "random") && strcmp(type, "scalar") &&
		      strcmp(type, "safetensors"))) {
		check_error(w->c, "input '%s': type '%s' is not known", name,
			    type ? type : "");
		return;
	}
	if (!strcmp(type, "scalar") != jv_is(shape, J_NULL)) {
		check_error(w->c, "input '%s': %s", name, jv_is(shape, J_NULL)
			    ? "a scalar is needed" : "a tensor is needed");
		return;
	}
	v = jv_get(e, "value");
	if (!strcmp(type, "scalar") && !jv_is_number(v) &&
	    !jv_is_bool(v))
		check_error(w->c, "input '%s': its value is no number", name);
	if (!strcmp(type, "random") && is_index(name, dtype))
		check_error(w->c, "input '%s' is an index tensor; random"
			    " values point anywhere", name);
	if (!strcmp(type, "safetensors"))
		check_blob(w, name, spec, e, in);
}

/* ---- values of index tensors ---- */

static void check_range(struct work *w, const char *name,
			const struct check_input *in, int64_t from, int64_t to,
			const char *what)
{
	size_t i;

	for (i = 0; i < in->n; i++)
		if (in->values[i] < from || in->values[i] >= to) {
			check_error(w->c, "input '%s': value %lld at %zu is"
				    " not in [%lld, %lld), %s", name,
				    (long long)in->values[i], i,
				    (long long)from, (long long)to, what);
			return;
		}
}

static void check_indptr(struct work *w, const char *name,
			 const struct check_input *in)
{
	size_t i;

	if (in->n && in->values[0])
		check_error(w->c, "input '%s' begins with %lld, not 0", name,
			    (long long)in->values[0]);
	for (i = 1; i < in->n; i++)
		if (in->values[i] < in->values[i - 1]) {
			check_error(w->c, "input '%s' falls from %lld to %lld"
				    " at %zu", name,
				    (long long)in->values[i - 1],
				    (long long)in->values[i], i);
			return;
		}
}

static void check_values(struct work *w, const char *name,
			 const struct check_input *in)
{
	static const struct {
		const char *tail, *axis, *times;
		int64_t from;
	} ranges[] = {
		{ "kv_indices", "num_pages", NULL, 0 },
		{ "sparse_indices", "num_pages", "page_size", -1 },
		{ "state_batch_indices", "state_cache_size", NULL, -1 },
		{ "initial_state_indices", "pool_size", NULL, 0 },
		{ "positions", "max_seq_len", NULL, 0 },
	};
	int64_t to, times, ps;
	size_t i;

	if (ends_in(name, "indptr") || ends_in(name, "cu_seqlens"))
		check_indptr(w, name, in);
	if (ends_in(name, "last_page_len") && axis_value(w, "page_size", &ps))
		check_range(w, name, in, 0, ps + 1, "the page's size");
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		times = 1;
		if (!ends_in(name, ranges[i].tail) ||
		    !axis_value(w, ranges[i].axis, &to) ||
		    (ranges[i].times &&
		     !axis_value(w, ranges[i].times, &times)) ||
		    __builtin_mul_overflow(to, times, &to))
			continue;
		check_range(w, name, in, ranges[i].from, to, ranges[i].axis);
	}
}

/* ---- constraints ---- */

static bool env_axis(void *data, const char *name, bool *known, double *value)
{
	struct work *w = data;
	int64_t v;

	if (!jv_get(w->declared, name))
		return false;
	*known = axis_value(w, name, &v);
	*value = *known ? (double)v : 0;
	return true;
}

static bool env_tensor(void *data, const char *name, struct pyexpr_tensor *t)
{
	struct work *w = data;
	const struct check_input *in = input_of(w, name);

	if (!in)
		return false;
	*t = (struct pyexpr_tensor){ .ndim = in->ndim,
		.shape = in->known_shape ? in->shape : NULL,
		.values = in->values, .n = in->n };
	return true;
}

static void check_constraints(struct work *w)
{
	struct pyexpr_env env = { w, env_axis, env_tensor };
	const struct jval *v;

	jv_each(v, jv_get(w->d, "constraints")) {
		struct strbuf why = STRBUF_INIT;
		const char *s = jv_str(v);
		enum pyexpr_result r = s ? pyexpr_eval(s, &env, &why)
					 : PYEXPR_UNKNOWN;

		if (r == PYEXPR_FALSE)
			check_error(w->c, "constraint '%s' does not hold", s);
		else if (r == PYEXPR_BAD)
			check_error(w->c, "constraint '%s': %s", s, why.buf);
		strbuf_release(&why);
	}
}

static void check_uuid(struct check *c, const struct jval *work)
{
	const char *uuid = jv_get_str(work, "uuid");

	if (!uuid || !*uuid)
		check_error(c, "the workload has no uuid");
	else
		check_note(&c->uuids, uuid, c->line);
}

static bool check_inputs(struct work *w, const struct jval *inputs)
{
	const struct jval *declared = jv_get(w->d, "inputs"), *spec, *e;
	bool ok = true;

	if (!jv_is(inputs, J_OBJ)) {
		check_error(w->c, "workload.inputs is no object");
		return false;
	}
	jv_each(e, inputs)
		if (!jv_get(declared, e->key)) {
			check_error(w->c, "'%s' is no input of the definition",
				    e->key);
			ok = false;
		}
	jv_each(spec, declared) {
		e = jv_get(inputs, spec->key);
		if (!e) {
			check_error(w->c, "input '%s' is missing", spec->key);
			ok = false;
		} else if (ok && w->nin < ARRAY_SIZE(w->in)) {
			w->in[w->nin] = (struct check_input){ 0 };
			check_input(w, spec->key, spec, e, &w->in[w->nin++]);
		}
	}
	return ok;
}

static void check_all_values(struct work *w)
{
	const struct jval *v;
	size_t i = 0;

	jv_each(v, jv_get(w->d, "inputs")) {
		if (i == w->nin)
			break;
		if (w->in[i].values)
			check_values(w, v->key, &w->in[i]);
		i++;
	}
	check_constraints(w);
}

void check_workload(struct check *c, const struct jval *line,
		    const struct jval *d)
{
	const struct jval *work = jv_get(line, "workload");
	struct work w;
	size_t i;

	w.c = c;
	w.d = d;
	w.declared = jv_get(d, "axes");
	w.axes = jv_get(work, "axes");
	w.axis = NULL;
	w.nin = 0;
	if (!jv_is(work, J_OBJ)) {
		check_error(c, "key 'workload' is no object");
		return;
	}
	if (!jv_is(jv_get(line, "solution"), J_NULL) ||
	    !jv_is(jv_get(line, "evaluation"), J_NULL))
		check_error(c, "solution and evaluation of a workload line"
			    " are null");
	check_uuid(c, work);
	if (check_axes(&w) && check_inputs(&w, jv_get(work, "inputs")))
		check_all_values(&w);
	for (i = 0; i < w.nin; i++)
		free(w.in[i].values);
}

void check_values_of(struct check *c, const struct jval *d,
		     int64_t (*axis)(const void *data, const char *name),
		     const void *data, const struct check_input *in, size_t n)
{
	struct work w;

	w.c = c;
	w.d = d;
	w.declared = jv_get(d, "axes");
	w.axes = NULL;
	w.axis = axis;
	w.data = data;
	w.nin = n < ARRAY_SIZE(w.in) ? n : ARRAY_SIZE(w.in);
	memcpy(w.in, in, w.nin * sizeof(*in));
	check_all_values(&w);
}
