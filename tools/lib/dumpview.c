#include "dumpview.h"

json_int_t dump_const(const json_t *def, const char *axis)
{
	const json_t *v = json_object_get(json_object_get(json_object_get(def,
				"axes"), axis), "value");

	return json_is_integer(v) ? json_integer_value(v) : -1;
}

static int position(const json_t *shape, const char *axis)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)shape, i, v)
		if (!strcmp(json_string_value(v), axis))
			return (int)i;
	return -1;
}

bool dump_view(const json_t *def, const json_t *shape, int way,
	       struct st_tensor *t)
{
	int page = position(shape, "page_size"), n = t->ndim;
	int kv = position(shape, "num_kv_heads"), rank;
	json_int_t last;
	int64_t swap;

	rank = (int)json_array_size(shape);
	if (way == 0)
		return true;
	if (way == 1 && page >= 0 && n + 1 == rank && page <= n &&
	    n < ST_MAX_DIMS && dump_const(def, "page_size") == 1) {
		memmove(t->shape + page + 1, t->shape + page,
			(size_t)(n - page) * sizeof(*t->shape));
		t->shape[page] = 1;
		t->ndim++;
		return true;
	}
	if (way == 2 && page >= 0 && kv >= 0 && n == rank) {
		swap = t->shape[page];
		t->shape[page] = t->shape[kv];
		t->shape[kv] = swap;
		return true;
	}
	if (way == 4 && page == 1 && n + 1 == rank && n < ST_MAX_DIMS) {
		last = dump_const(def, "page_size");
		if (last < 1 || t->shape[0] % last)
			return false;
		memmove(t->shape + 2, t->shape + 1,
			(size_t)(n - 1) * sizeof(*t->shape));
		t->shape[0] /= last;
		t->shape[1] = last;
		t->ndim++;
		return true;
	}
	if (way == 3 && rank >= 2 && n + 1 == rank && n < ST_MAX_DIMS) {
		last = dump_const(def, json_string_value(json_array_get(shape,
						(size_t)rank - 1)));
		if (last < 1 || t->shape[n - 1] % last)
			return false;
		t->shape[n] = last;
		t->shape[n - 1] /= last;
		t->ndim++;
		return true;
	}
	return false;
}

bool dump_same_dtype(const char *have, const char *want)
{
	if (!have)
		return false;
	/* raw bytes: pairs of fp4, exponents */
	if (!strcmp(have, "uint8") || !strcmp(have, "int8"))
		return !strcmp(want, "uint8") || !strcmp(want, "int8") ||
			!strcmp(want, "float4_e2m1") || !strcmp(want, "bool");
	return !strcmp(have, want);
}

bool dump_whole_dtype(const char *dtype)
{
	return !strncmp(dtype, "int", 3);
}
