#include "check.h"
#include "pyexpr.h"
#include "safetensors.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

struct work {
	struct check *c;
	const json_t *d, *axes;
	json_t *names;			/* input name -> index */
	struct check_input in[64];
	size_t nin;
};

static bool axis_value(const struct work *w, const char *name, int64_t *value)
{
	const json_t *a = json_object_get(json_object_get(w->d, "axes"), name);
	const json_t *v = json_object_get(a, "value");

	if (!v)
		v = json_object_get(w->axes, name);
	*value = json_integer_value(v);
	return json_is_integer(v);
}

static bool check_axes(struct work *w)
{
	json_t *declared = json_object_get(w->d, "axes"), *a, *v;
	size_t var = 0;
	const char *name;
	bool ok = true;

	if (!json_is_object(w->axes)) {
		check_error(w->c, "workload.axes is no object");
		return false;
	}
	json_object_foreach(declared, name, a) {
		if (!strcmp(json_get_str(a, "type"), "const"))
			continue;
		var++;
		v = json_object_get(w->axes, name);
		if (!v) {
			check_error(w->c, "axis '%s' has no value", name);
			ok = false;
		} else if (!json_is_integer(v) || json_integer_value(v) < 1) {
			check_error(w->c, "axis '%s' is %lld; it must be 1 or"
				    " more", name,
				    (long long)json_integer_value(v));
			ok = false;
		}
	}
	if (ok && json_object_size(w->axes) != var) {
		json_object_foreach((json_t *)w->axes, name, v)
			if (!json_object_get(declared, name) ||
			    json_object_get(json_object_get(declared, name),
					    "value"))
				check_error(w->c, "axis '%s' is no var axis of"
					    " the definition", name);
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

static void close_blob(struct check *c)
{
	if (c->blob_path)
		st_close(&c->blob);
	free(c->blob_path);
	c->blob_path = NULL;
}

void check_release(struct check *c)
{
	close_blob(c);
	json_decref(c->findings);
	json_decref(c->uuids);
	json_decref(c->used_blobs);
	json_decref(c->covered);
}

/* The blob in c->blob, opened unless it was the last; false: a finding. */
static bool get_blob(struct check *c, const char *name, const char *rel)
{
	struct strbuf why = STRBUF_INIT;
	int fd;

	if (c->blob_path && !strcmp(c->blob_path, rel))
		return true;
	close_blob(c);
	fd = open_beneath(c->dirfd, rel);
	if (fd < 0 && (errno == EXDEV || errno == ELOOP))
		check_error(c, "input '%s': path '%s' leaves the dataset",
			    name, rel);
	else if (fd < 0)
		check_error(c, "input '%s': unable to open %s: %s", name, rel,
			    strerror(errno));
	else if (st_open_fd(&c->blob, fd, rel, &why))
		check_error(c, "input '%s': %s", name, why.buf);
	else
		c->blob_path = xstrdup(rel);
	strbuf_release(&why);
	return c->blob_path;
}

static void hold_blob(struct work *w, const char *name, const json_t *spec,
		      const struct safetensors *st, const char *key,
		      struct check_input *in)
{
	const char *want = json_get_str(spec, "dtype"), *have;
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

static void check_blob(struct work *w, const char *name, const json_t *spec,
		       const json_t *e, struct check_input *in)
{
	const char *path = json_get_str(e, "path"), *rel;
	const char *key = json_get_str(e, "tensor_key");

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
	if (!w->c->used_blobs)
		w->c->used_blobs = json_array();
	json_array_append_new(w->c->used_blobs, json_string(rel));
	if (get_blob(w->c, name, rel))
		hold_blob(w, name, spec, &w->c->blob, key, in);
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

static void check_input(struct work *w, const char *name, const json_t *spec,
			const json_t *e, struct check_input *in)
{
	const char *type = json_get_str(e, "type");
	const char *dtype = json_get_str(spec, "dtype");
	json_t *shape = json_object_get(spec, "shape"), *dim, *v;
	size_t i;

	in->known_shape = json_array_size(shape) <= ST_MAX_DIMS;
	json_array_foreach(shape, i, dim)
		if (in->known_shape)
			in->known_shape = axis_value(w,
				json_string_value(dim),
				&in->shape[in->ndim++]);
	if (!type || (strcmp(type, "random") && strcmp(type, "scalar") &&
		      strcmp(type, "safetensors"))) {
		check_error(w->c, "input '%s': type '%s' is not known", name,
			    type ? type : "");
		return;
	}
	if (!strcmp(type, "scalar") != json_is_null(shape)) {
		check_error(w->c, "input '%s': %s", name, json_is_null(shape)
			    ? "a scalar is needed" : "a tensor is needed");
		return;
	}
	v = json_object_get(e, "value");
	if (!strcmp(type, "scalar") && !json_is_number(v) &&
	    !json_is_boolean(v))
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

	if (!json_object_get(json_object_get(w->d, "axes"), name))
		return false;
	*known = axis_value(w, name, &v);
	*value = (double)v;
	return true;
}

static bool env_tensor(void *data, const char *name, struct pyexpr_tensor *t)
{
	struct work *w = data;
	const json_t *i = json_object_get(w->names, name);
	const struct check_input *in;

	if (!i)
		return false;
	in = &w->in[json_integer_value(i)];
	*t = (struct pyexpr_tensor){ .ndim = in->ndim,
		.shape = in->known_shape ? in->shape : NULL,
		.values = in->values, .n = in->n };
	return true;
}

static void check_constraints(struct work *w)
{
	struct pyexpr_env env = { w, env_axis, env_tensor };
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(w->d, "constraints"), i, v) {
		struct strbuf why = STRBUF_INIT;
		const char *s = json_string_value(v);
		enum pyexpr_result r = s ? pyexpr_eval(s, &env, &why)
					 : PYEXPR_UNKNOWN;

		if (r == PYEXPR_FALSE)
			check_error(w->c, "constraint '%s' does not hold", s);
		else if (r == PYEXPR_BAD)
			check_error(w->c, "constraint '%s': %s", s, why.buf);
		strbuf_release(&why);
	}
}

static void check_uuid(struct check *c, const json_t *work)
{
	const char *uuid = json_get_str(work, "uuid");

	if (!uuid || !*uuid)
		check_error(c, "the workload has no uuid");
	else {
		if (!c->uuids)
			c->uuids = json_array();
		json_array_append_new(c->uuids, json_pack("{s:s, s:I}", "uuid",
				      uuid, "line", (json_int_t)c->line));
	}
}

static bool check_inputs(struct work *w, const json_t *inputs)
{
	json_t *declared = json_object_get(w->d, "inputs"), *spec, *e;
	const char *name;
	bool ok = true;

	if (!json_is_object(inputs)) {
		check_error(w->c, "workload.inputs is no object");
		return false;
	}
	json_object_foreach((json_t *)inputs, name, e)
		if (!json_object_get(declared, name)) {
			check_error(w->c, "'%s' is no input of the definition",
				    name);
			ok = false;
		}
	json_object_foreach(declared, name, spec) {
		e = json_object_get(inputs, name);
		if (!e) {
			check_error(w->c, "input '%s' is missing", name);
			ok = false;
		} else if (ok && w->nin < ARRAY_SIZE(w->in)) {
			json_object_set_new(w->names, name,
				json_integer((json_int_t)w->nin));
			check_input(w, name, spec, e, &w->in[w->nin++]);
		}
	}
	return ok;
}

void check_workload(struct check *c, const json_t *line, const json_t *d)
{
	const json_t *work = json_object_get(line, "workload"), *idx;
	struct work w = { .c = c, .d = d,
			  .axes = json_object_get(work, "axes"),
			  .names = json_object() };
	const char *key;
	json_t *v;
	size_t i;

	if (!json_is_object(work)) {
		check_error(c, "key 'workload' is no object");
		goto out;
	}
	if (!json_is_null(json_object_get(line, "solution")) ||
	    !json_is_null(json_object_get(line, "evaluation")))
		check_error(c, "solution and evaluation of a workload line"
			    " are null");
	check_uuid(c, work);
	if (!check_axes(&w) ||
	    !check_inputs(&w, json_object_get(work, "inputs")))
		goto out;
	json_object_foreach(json_object_get(d, "inputs"), key, v) {
		idx = json_object_get(w.names, key);
		if (idx && w.in[json_integer_value(idx)].values)
			check_values(&w, key,
				     &w.in[json_integer_value(idx)]);
	}
	check_constraints(&w);
out:
	for (i = 0; i < w.nin; i++)
		free(w.in[i].values);
	json_decref(w.names);
}

void check_values_of(struct check *c, const json_t *d, const json_t *axes,
		     struct check_input *in, size_t n)
{
	struct work w = { .c = c, .d = d, .axes = axes,
			  .names = json_object() };
	const char *key;
	json_t *v;
	size_t i = 0;

	json_object_foreach(json_object_get(d, "inputs"), key, v) {
		if (i == n || w.nin == ARRAY_SIZE(w.in))
			break;
		json_object_set_new(w.names, key, json_integer((json_int_t)i));
		w.in[w.nin++] = in[i++];
	}
	i = 0;
	json_object_foreach(json_object_get(d, "inputs"), key, v) {
		if (i < w.nin && w.in[i].values)
			check_values(&w, key, &w.in[i]);
		i++;
	}
	check_constraints(&w);
	json_decref(w.names);
}
