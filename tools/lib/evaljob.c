#include "evaljob.h"
#include "fileio.h"
#include "safetensors.h"
#include "../eval/evaldev.h"

#include <math.h>

/* A dimension: a number, or an axis with its value here. */
static int dimension(const json_t *dim, const json_t *def, const json_t *axes,
		     int64_t *v)
{
	const json_t *axis;

	if (json_is_integer(dim)) {
		*v = json_integer_value(dim);
		return *v < 0 ? -1 : 0;
	}
	if (!json_is_string(dim))
		return -1;
	axis = json_object_get(json_object_get(def, "axes"),
			       json_string_value(dim));
	axis = json_object_get(axis, "value") ? json_object_get(axis, "value") :
		json_object_get(axes, json_string_value(dim));
	*v = json_is_integer(axis) ? json_integer_value(axis) : -1;
	return *v < 0 ? -1 : 0;
}

/* [] for a tensor without dimensions, null for a scalar. */
static json_t *shape_of(const json_t *spec, const json_t *def,
			const json_t *axes, const char *name,
			struct strbuf *err)
{
	const json_t *shape = json_object_get(spec, "shape"), *dim;
	json_t *arr;
	int64_t v, n = 1;
	size_t i;

	if (json_is_null(shape))
		return json_null();
	arr = json_array();
	json_array_foreach((json_t *)shape, i, dim) {
		if (dimension(dim, def, axes, &v)) {
			strbuf_addf(err, "%s: dimension %zu of its shape has no"
				    " size in this workload", name, i);
			json_decref(arr);
			return NULL;
		}
		json_array_append_new(arr, json_integer(v));
		if (v && n > ((int64_t)1 << 40) / v) {
			strbuf_addf(err, "%s: over 2^40 elements", name);
			json_decref(arr);
			return NULL;
		}
		n *= v ? v : 1;
	}
	return arr;
}

/* A number, an axis, or "1/sqrt(AXIS)". */
static double number(const json_t *v, const json_t *def, const json_t *axes,
		     double otherwise)
{
	static const char root[] = "1/sqrt(";
	const char *s = json_string_value(v);
	json_t *dim;
	int64_t n;
	double ret = otherwise;

	if (json_is_number(v))
		return json_number_value(v);
	if (!s)
		return otherwise;
	if (!strncmp(s, root, sizeof root - 1)) {
		dim = json_stringn(s + sizeof root - 1, strcspn(s + sizeof root - 1, ")"));
		if (!dimension(dim, def, axes, &n) && n > 0)
			ret = 1 / sqrt((double)n);
	} else {
		dim = json_string(s);
		if (!dimension(dim, def, axes, &n))
			ret = (double)n;
	}
	json_decref(dim);
	return ret;
}

/* As enum ev_fill of tools/eval/evaldev.h. */
static int fill_number(const char *word)
{
	static const char *const words[] = { "normal", "integer", "probs",
		"positive", "uniform", "fp8_pages" };
	int i;

	for (i = 0; i < (int)ARRAY_SIZE(words); i++)
		if (word && !strcmp(word, words[i]))
			return i;
	return -1;
}

static void add_random(json_t *in, const json_t *def, const json_t *hint,
		       const json_t *axes, const char *uuid, int trials)
{
	const char *name = json_get_str(in, "name");
	int fill = fill_number(json_get_str(hint, "fill")), t;
	json_t *seeds = json_array(), *shape = json_object_get(in, "shape");
	size_t dims = json_array_size(shape), last;
	json_int_t same = json_integer_value(json_object_get(hint, "same")), cols = 1;
	char hex[SHA256_HEX];

	/* flashinfer-bench does the same for what is called probs */
	if (fill < 0)
		fill = !strcmp(name, "probs") &&
			!strcmp(json_get_str(in, "dtype"), "float32") ? EV_PROBS : EV_NORMAL;
	/* a row of probabilities; a page is all but the first axis */
	if (fill == EV_PROBS)
		same = 1;
	else if (fill == EV_FP8_PAGES)
		same = (json_int_t)dims - 1;
	for (last = 0; last < dims && (json_int_t)last < same; last++)
		cols *= json_integer_value(json_array_get(shape, dims - 1 - last));
	for (t = 0; t < trials; t++) {
		struct strbuf sb = STRBUF_INIT;

		strbuf_addf(&sb, "%s/%s/%d", uuid, name, t);
		sha256_bytes(hex, sb.buf, sb.len);
		hex[16] = 0;	/* 64 bits, as text: JSON has 53 */
		json_array_append_new(seeds, json_string(hex));
		strbuf_release(&sb);
	}
	json_object_set_new(in, "from", json_string("random"));
	json_object_set_new(in, "fill", json_integer(fill));
	json_object_set_new(in, "seeds", seeds);
	json_object_set_new(in, "scale", json_real(number(json_object_get(
				hint, "scale"), def, axes, 1)));
	json_object_set_new(in, "shift", json_real(number(json_object_get(
				hint, "shift"), def, axes, 0)));
	json_object_set_new(in, "cols", json_integer(cols));
}

static int add_blob(json_t *in, const json_t *spec, const char *dataset,
		    struct strbuf *err)
{
	const char *path = json_get_str(spec, "path"), *name;
	const char *key = json_get_str(spec, "tensor_key");
	struct strbuf full = STRBUF_INIT, why = STRBUF_INIT;
	struct safetensors st;
	struct st_tensor t;
	json_t *shape;
	int i, ret = -1;

	name = json_get_str(in, "name");
	if (!path || !key || *path == '/' || strstr(path, "..")) {
		strbuf_addf(err, "%s: its path is not one below the dataset", name);
		return -1;
	}
	strbuf_addf(&full, "%s/%s", dataset, path);
	if (st_open(&st, full.buf, err))
		goto out;
	if (st_find(&st, key, &t, &why)) {
		strbuf_addf(err, "%s: %s: %s", name, path, why.buf);
		goto out_close;
	}
	if (strcmp(st_dtype_name(t.dtype) ? st_dtype_name(t.dtype) : "",
		   json_get_str(in, "dtype"))) {
		strbuf_addf(err, "%s: %s has it as %s, not %s", name, path, t.dtype,
			    json_get_str(in, "dtype"));
		goto out_close;
	}
	shape = json_array();
	for (i = 0; i < t.ndim; i++)
		json_array_append_new(shape, json_integer(t.shape[i]));
	if (!json_equal(shape, json_object_get(in, "shape"))) {
		strbuf_addf(err, "%s: its shape in %s is not the definition's for these axes",
			    name, path);
		json_decref(shape);
		goto out_close;
	}
	json_decref(shape);
	json_object_set_new(in, "from", json_string("file"));
	json_object_set_new(in, "path", json_string(full.buf));
	json_object_set_new(in, "offset", json_integer((json_int_t)t.offset));
	json_object_set_new(in, "size", json_integer((json_int_t)t.size));
	ret = 0;
out_close:
	st_close(&st);
out:
	strbuf_release(&why);
	strbuf_release(&full);
	return ret;
}

static json_t *input_of(const json_t *def, const char *name, const json_t *spec,
			const json_t *eval, const json_t *workload,
			const char *dataset, int trials, struct strbuf *err)
{
	const json_t *axes = json_object_get(workload, "axes");
	const json_t *w = json_object_get(json_object_get(workload, "inputs"), name);
	const char *type = json_get_str(w, "type");
	json_t *in = json_object(), *shape = shape_of(spec, def, axes, name, err);
	int ret = -1;

	if (!shape)
		goto out;
	json_object_set_new(in, "name", json_string(name));
	json_object_set_new(in, "dtype", json_string(json_get_str(spec, "dtype") ?
				json_get_str(spec, "dtype") : ""));
	json_object_set_new(in, "shape", shape);
	if (type && !strcmp(type, "scalar")) {
		json_object_set_new(in, "from", json_string("scalar"));
		json_object_set(in, "value", json_object_get(w, "value"));
		ret = 0;
	} else if (type && !strcmp(type, "safetensors")) {
		ret = add_blob(in, w, dataset, err);
	} else if (json_is_null(json_object_get(in, "shape"))) {
		strbuf_addf(err, "%s: a scalar has to have a value", name);
	} else {
		add_random(in, def, json_object_get(json_object_get(eval, "inputs"),
						    name),
			   axes, json_get_str(workload, "uuid"), trials);
		ret = 0;
	}
out:
	if (ret) {
		json_decref(in);
		return NULL;
	}
	return in;
}

static double rule(double given, const json_t *eval, const char *key, double usual)
{
	const json_t *v = json_object_get(eval, key);

	return given >= 0 ? given : json_is_number(v) ? json_number_value(v) : usual;
}

/* As flashinfer-bench decides: by op_type, and by what comes out. */
static const char *kind_of(const json_t *def, const json_t *eval)
{
	const json_t *samples = json_object_get(json_object_get(def, "outputs"),
						"samples");
	const char *kind = json_get_str(eval, "kind");

	return kind ? kind : samples && !strcmp(json_get_str(def, "op_type"),
						"sampling") ? "sampling" : "exact";
}

json_t *eval_job(const json_t *def, const json_t *eval, const json_t *workload,
		 const char *dataset, const struct eval_rules *rules,
		 struct strbuf *err)
{
	json_t *job = json_object(), *ins = json_array(), *outs = json_array();
	json_t *spec, *v;
	const char *name;
	const char *op = json_need_str(def, "op_type", "the definition", err);
	const char *uuid = json_need_str(workload, "uuid", "the workload", err);

	json_object_set_new(job, "inputs", ins);
	json_object_set_new(job, "outputs", outs);
	if (!op || !uuid)
		goto fail;
	json_object_foreach(json_object_get(def, "inputs"), name, spec) {
		v = input_of(def, name, spec, eval, workload, dataset,
			     rules->trials, err);
		if (!v)
			goto fail;
		json_array_append_new(ins, v);
	}
	json_object_foreach(json_object_get(def, "outputs"), name, spec) {
		v = shape_of(spec, def, json_object_get(workload, "axes"), name, err);
		if (!v)
			goto fail;
		json_array_append_new(outs, json_pack("{s:s, s:s, s:o}", "name",
				name, "dtype", json_get_str(spec, "dtype") ?
				json_get_str(spec, "dtype") : "", "shape", v));
	}
	json_object_set_new(job, "trials", json_integer(rules->trials));
	json_object_set_new(job, "atol", json_real(rule(rules->atol, eval, "atol", 1e-2)));
	json_object_set_new(job, "rtol", json_real(rule(rules->rtol, eval, "rtol", 1e-2)));
	json_object_set_new(job, "ratio", json_real(rule(rules->ratio, eval, "ratio",
				!strcmp(op, "moe") ? 0.95 : 1)));
	json_object_set_new(job, "kind", json_string(kind_of(def, eval)));
	return job;
fail:
	json_decref(job);
	return NULL;
}

/* What the bytes of an input from a file are, as a digest. */
static int add_bytes(struct strbuf *sb, const json_t *in, struct strbuf *err)
{
	const char *path = json_get_str(in, "path");
	size_t n = (size_t)json_integer_value(json_object_get(in, "size"));
	char hex[SHA256_HEX];
	void *buf = file_piece(path, (uint64_t)json_integer_value(
				json_object_get(in, "offset")), n);

	if (!buf) {
		strbuf_addf(err, "%s: %s", path, strerror(errno));
		return -1;
	}
	sha256_bytes(hex, buf, n);
	strbuf_addstr(sb, hex);
	free(buf);
	return 0;
}

/* All but the seeds, which are a trial's. */
static int add_job(struct strbuf *sb, const json_t *def, const json_t *job,
		   const char *device, struct strbuf *err)
{
	static const char *const what[] = { "name", "dtype", "shape", "from",
		"fill", "scale", "shift", "cols", "value" };
	const char *text = json_get_str(def, "reference");
	const json_t *in;
	size_t i, k;

	/* 3: what was expected of samplers could be written half computed before */
	strbuf_addf(sb, "3 %s %s %s\n", device, json_get_str(job, "kind"),
		    text ? text : "");
	json_array_foreach(json_object_get(job, "inputs"), i, in) {
		for (k = 0; k < ARRAY_SIZE(what); k++) {
			char *v = json_dumps(json_object_get(in, what[k]),
					     JSON_COMPACT | JSON_ENCODE_ANY);

			strbuf_addf(sb, "%s ", v ? v : "-");
			free(v);
		}
		if (json_get_str(in, "path") && add_bytes(sb, in, err))
			return -1;
		strbuf_addch(sb, '\n');
	}
	return 0;
}

int eval_keys(char (*hex)[SHA256_HEX], const json_t *def, const json_t *job,
	      const char *device, int trials, struct strbuf *err)
{
	struct strbuf sb = STRBUF_INIT;
	const json_t *in, *seeds;
	size_t len, i;
	int ret = add_job(&sb, def, job, device, err), t;

	len = sb.len;
	for (t = 0; t < trials && !ret; t++) {
		json_array_foreach(json_object_get(job, "inputs"), i, in) {
			seeds = json_object_get(in, "seeds");
			if (seeds)
				strbuf_addf(&sb, "%s\n", json_string_value(
					json_array_get(seeds, (size_t)t)));
		}
		sha256_bytes(hex[t], sb.buf, sb.len);
		sb.len = len;
		sb.buf[len] = '\0';
	}
	strbuf_release(&sb);
	return ret;
}
