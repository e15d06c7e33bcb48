/*
 * jdoc.h accepts what Jansson accepts, with the same values in them; but for
 * NUL bytes, which Jansson passes over behind a word ("[true\0]").
 */
#include "fuzz.h"
#include "jdoc.h"

static bool same(const struct jval *v, const json_t *j)
{
	const struct jval *m = jv_first(v);
	const char *key;
	json_t *e;
	size_t i;

	switch (json_typeof(j)) {
	case JSON_OBJECT:
		if (!jv_is(v, J_OBJ) || jv_size(v) != json_object_size(j))
			return false;
		json_object_foreach((json_t *)j, key, e) {
			if (!m || strcmp(m->key, key) || !same(m, e) ||
			    jv_get(v, key) != m)
				return false;
			m = m->next;
		}
		return !m;
	case JSON_ARRAY:
		if (!jv_is(v, J_ARR) || jv_size(v) != json_array_size(j))
			return false;
		json_array_foreach(j, i, e) {
			if (!m || m->key || !same(m, e))
				return false;
			m = m->next;
		}
		return !m;
	case JSON_STRING:
		return jv_is(v, J_STR) && v->n == json_string_length(j) &&
			!memcmp(v->s, json_string_value(j), v->n + 1);
	case JSON_INTEGER:
		return jv_is(v, J_INT) && v->i == json_integer_value(j);
	case JSON_REAL:
		return jv_is(v, J_REAL) && v->d == json_real_value(j);
	default:
		return v->type == (json_is_true(j) ? J_TRUE : json_is_false(j)
				   ? J_FALSE : J_NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct jdoc doc;		/* used again, as its users do */
	struct strbuf err = STRBUF_INIT;
	char *text = xmalloc(size + 1);
	const struct jval *v;
	json_t *j;

	j = json_parse((const char *)data, size, "f", &err);
	memcpy(text, data, size);
	text = xrealloc(text, size ? size : 1);	/* no byte behind it */
	v = jdoc_parse(&doc, text, size, "f", &err);
	if (!v != (!j || memchr(data, 0, size)) || (v && !same(v, j)) ||
	    (!v && !err.len))
		abort();
	if (j) {
		struct jdoc copy = JDOC_INIT;

		if (!same(jdoc_copy(&copy, j), j))
			abort();
		jdoc_release(&copy);
	}
	json_decref(j);
	free(text);
	strbuf_release(&err);
	return 0;
}
