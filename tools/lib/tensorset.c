#include "tensorset.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>

int evaldev_load(struct evaldev *dev, const char *dir, const char *which,
		 struct strbuf *err)
{
	static const char *const names[] = { "ev_error", "ev_open",
		"ev_describe", "ev_alloc", "ev_free", "ev_upload",
		"ev_download", "ev_set", "ev_read", "ev_stream", "ev_sync", "ev_size", "ev_fill",
		"ev_compare", "ev_count", "ev_measure" };
	struct strbuf path = STRBUF_INIT;
	void **at = (void **)dev, *so;
	size_t i;

	if (dir)
		strbuf_addf(&path, "%s/libeval%s.so", dir, which);
	else
		strbuf_addf(&path, "libeval%s.so", which);
	so = dlopen(path.buf, RTLD_NOW | RTLD_LOCAL);
	if (!so)
		strbuf_addf(err, "%s (make kernels builds it)", dlerror());
	for (i = 0; so && i < ARRAY_SIZE(names); i++) {
		at[i] = dlsym(so, names[i]);
		if (!at[i]) {
			strbuf_addf(err, "%s has no %s()", path.buf, names[i]);
			so = NULL;
		}
	}
	strbuf_release(&path);
	return so ? 0 : -1;
}

int tensor_dtype(const char *name)
{
	static const char *const names[] = { "float32", "bfloat16", "float16",
		"float8_e4m3fn", "float8_e5m2", "float4_e2m1fn_x2", "int8",
		"uint8", "int16", "int32", "int64", "bool", "float64" };
	int i;

	for (i = 0; i < (int)ARRAY_SIZE(names); i++)
		if (name && !strcmp(name, names[i]))
			return i;
	return -1;
}

static int device_failed(const struct evaldev *dev, const char *what,
			 struct strbuf *err)
{
	strbuf_addf(err, "%s: %s", what, dev->error());
	return -1;
}

int tensor_shape(const json_t *spec, struct ob_arg *arg, int *dtype, int64_t *n, struct strbuf *err)
{
	const json_t *shape = json_object_get(spec, "shape"), *v;
	const char *name = json_get_str(spec, "name");
	size_t i;

	memset(arg, 0, sizeof *arg);
	*n = 1;
	*dtype = -1;
	v = json_object_get(spec, "value");
	if (json_is_null(shape)) {
		arg->scalar = json_is_true(v) ? 1 : json_number_value(v);
		return 0;
	}
	if (json_array_size(shape) > ARRAY_SIZE(arg->shape)) {
		strbuf_addf(err, "%s: more than %zu dimensions", name,
			    ARRAY_SIZE(arg->shape));
		return -1;
	}
	*dtype = tensor_dtype(json_get_str(spec, "dtype"));
	if (*dtype < 0) {
		strbuf_addf(err, "%s: dtype '%s' is not known", name,
			    json_get_str(spec, "dtype"));
		return -1;
	}
	arg->ndim = (int32_t)json_array_size(shape);
	json_array_foreach(shape, i, v) {
		arg->shape[i] = json_integer_value(v);
		*n *= arg->shape[i];
	}
	return 0;
}

int tensor_fill(const struct evaldev *dev, const json_t *in, void *dst,
		int dtype, int64_t n, int trial, struct strbuf *err)
{
	const char *from = json_get_str(in, "from");
	size_t size = dev->size(dtype, n);
	const char *path;
	int fd, ret = 0;

	if (!strcmp(from, "random")) {
		const char *seed = json_string_value(json_array_get(
			json_object_get(in, "seeds"), (size_t)trial));
		int fill = (int)json_integer_value(json_object_get(in, "fill"));
		int64_t cols = json_integer_value(json_object_get(in, "cols"));

		if (!seed || dev->fill(dst, dtype, n, cols, fill,
				strtoull(seed, NULL, 16),
				json_number_value(json_object_get(in, "scale")),
				json_number_value(json_object_get(in, "shift"))))
			return device_failed(dev, json_get_str(in, "name"), err);
		return 0;
	}
	path = json_get_str(in, "path");
	if (!path || (size_t)json_integer_value(json_object_get(in, "size")) != size) {
		strbuf_addf(err, "%s: its file has not the size of its shape",
			    json_get_str(in, "name"));
		return -1;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		strbuf_addf(err, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (dev->read(dst, fd, (uint64_t)json_integer_value(json_object_get(in, "offset")), size))
		ret = device_failed(dev, path, err);
	close(fd);
	return ret;
}

int tensor_poison(const struct evaldev *dev, void **dst, const int *dtype,
		  const int64_t *n, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (dev->set(dst[i], 0xff, dev->size(dtype[i], n[i])))
			return -1;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* How many of n sorted numbers both rows have. */
static int64_t common(const int64_t *a, const int64_t *b, int64_t n)
{
	int64_t i = 0, k = 0, both = 0;

	while (i < n && k < n) {
		if (a[i] == b[k])
			both++, i++, k++;
		else if (a[i] < b[k])
			i++;
		else
			k++;
	}
	return both;
}

/* Rows of the last dimension as sets (top-k indices have no order). */
static int compare_sets(const struct evaldev *dev, const json_t *out,
			const int64_t *want, const void *got, int dtype,
			int64_t n, struct tensor_verdict *v, struct strbuf *err)
{
	const json_t *shape = json_object_get(out, "shape");
	int64_t cols = json_integer_value(json_array_get(shape,
				json_array_size(shape) - 1)), i, both = 0;
	int64_t *a = xmalloc(st_mult((size_t)n + 1, sizeof *a));
	int64_t *b = xmalloc(st_mult((size_t)n + 1, sizeof *b));
	void *raw = xmalloc(dev->size(dtype, n) + 1);
	int ret = 0;

	if (dev->download(raw, got, dev->size(dtype, n)))
		ret = device_failed(dev, "reading the output", err);
	for (i = 0; i < n && !ret; i++) {
		a[i] = dtype == EV_I64 ? ((int64_t *)raw)[i] : ((int32_t *)raw)[i];
		b[i] = want[i];
	}
	for (i = 0; cols && i < n / cols && !ret; i++) {
		qsort(a + i * cols, (size_t)cols, sizeof *a, by_number);
		qsort(b + i * cols, (size_t)cols, sizeof *b, by_number);
		both += common(a + i * cols, b + i * cols, cols);
	}
	v->matched = fmin(v->matched, n ? (double)both / (double)n : 1);
	if (both != n && !*v->first)
		snprintf(v->first, sizeof v->first, "%lld of %lld indices are not the"
			 " reference's", (long long)(n - both), (long long)n);
	free(a);
	free(b);
	free(raw);
	return ret;
}

static int compare_elements(const struct evaldev *dev, const json_t *job,
			    const char *name, const void *ref, const void *got,
			    int dtype, int64_t n, struct tensor_verdict *v,
			    struct strbuf *err)
{
	struct ev_diff d;

	if (dev->compare(got, ref, dtype, n,
			 json_number_value(json_object_get(job, "atol")),
			 json_number_value(json_object_get(job, "rtol")), &d))
		return device_failed(dev, "comparing", err);
	v->max_abs = fmax(v->max_abs, d.nonfinite ? INFINITY : d.max_abs);
	v->max_rel = fmax(v->max_rel, d.nonfinite ? INFINITY : d.max_rel);
	v->matched = fmin(v->matched, n ? 1 - (double)d.failed / (double)n : 1);
	if (d.failed && !*v->first)
		snprintf(v->first, sizeof v->first, "%s: %lld of %lld elements are off;"
			 " [%lld] is %.9g, not %.9g", name, (long long)d.failed,
			 (long long)n, (long long)d.first, d.got, d.want);
	return 0;
}

int tensor_compare(const struct evaldev *dev, const json_t *job,
		   const json_t *out, const struct safetensors *st,
		   const void *got, int dtype, int64_t n,
		   struct tensor_verdict *v, struct strbuf *err)
{
	const char *name = json_get_str(out, "name");
	bool sets = !strcmp(json_get_str(job, "kind"), "set") && dtype >= EV_I32;
	struct st_tensor t;
	void *ref = NULL;
	int ret = -1;

	if (!v->any)
		v->matched = 1;
	v->any = true;
	if (st_find(st, name, &t, err))
		return -1;
	if (t.size != dev->size(dtype, n) || !st_dtype_name(t.dtype) ||
	    strcmp(st_dtype_name(t.dtype), json_get_str(out, "dtype"))) {
		strbuf_addf(err, "the reference gives %s as %s of %llu bytes, which is"
			    " not the definition's", name, t.dtype,
			    (unsigned long long)t.size);
		return -1;
	}
	if (sets) {
		size_t count;
		int64_t *want = st_ints(st, &t, &count, err);

		if (want)
			ret = compare_sets(dev, out, want, got, dtype, n, v, err);
		free(want);
		return ret;
	}
	if (dev->alloc(&ref, t.size) || dev->read(ref, st->fd, t.offset, t.size))
		device_failed(dev, "the reference's output", err);
	else
		ret = compare_elements(dev, job, name, ref, got, dtype, n, v, err);
	dev->sync();
	if (ref)
		dev->free(ref);
	return ret;
}

/* inf is no number in JSON; flashinfer-bench reads a string. */
static json_t *json_double(double d)
{
	return isnan(d) ? json_string("NaN") : isinf(d) ? json_string("Infinity") :
		json_real(d);
}

static double answer_number(const json_t *answer, const char *key, double none)
{
	const json_t *v = json_object_get(answer, key);

	return json_is_string(v) ? INFINITY : v ? json_number_value(v) : none;
}

void tensor_verdict_add(const struct tensor_verdict *v, json_t *answer)
{
	json_object_set_new(answer, "max_abs", json_double(fmax(v->max_abs,
				answer_number(answer, "max_abs", 0))));
	json_object_set_new(answer, "max_rel", json_double(fmax(v->max_rel,
				answer_number(answer, "max_rel", 0))));
	json_object_set_new(answer, "matched_ratio", json_real(fmin(v->matched,
				answer_number(answer, "matched_ratio", 1))));
	if (*v->first && !json_object_get(answer, "log"))
		json_object_set_new(answer, "log", json_string(v->first));
}

bool tensor_passed(const json_t *job, json_t *answer)
{
	bool ok = answer_number(answer, "matched_ratio", 1) >=
		json_number_value(json_object_get(job, "ratio"));

	if (json_object_get(answer, "tvd"))
		ok = answer_number(answer, "tvd", 1) <= 0.2 &&
			answer_number(answer, "forbidden", 1) == 0;
	json_object_set_new(answer, "status", json_string(ok ? "PASSED" :
							  "INCORRECT_NUMERICAL"));
	return ok;
}

void tensor_times_add(const struct ev_times *t, json_t *answer)
{
	json_object_set_new(answer, "latency_ms", json_real(t->median));
	json_object_set_new(answer, "timing", json_pack(
		"{s:f, s:f, s:f, s:f, s:i, s:s, s:i, s:i, s:i}",
		"kernels_ms", t->kernels, "p10_ms", t->p10, "p90_ms", t->p90,
		"min_ms", t->min, "iterations", t->n, "clock", t->clock,
		"sm_mhz", t->sm_mhz, "memory_mhz", t->mem_mhz, "celsius", t->celsius));
}

int tensor_answer(int fd, json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT);
	struct strbuf sb = STRBUF_INIT;
	size_t at = 0;
	ssize_t n = 1;

	/* a line of its own, whatever a solution has written there */
	if (text)
		strbuf_addf(&sb, "\n%s\n", text);
	while (at < sb.len && (n = write(fd, sb.buf + at, sb.len - at)) > 0)
		at += (size_t)n;
	n = at == sb.len && text ? 0 : -1;
	free(text);
	strbuf_release(&sb);
	json_decref(answer);
	return (int)n;
}
