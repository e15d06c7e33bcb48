#include "json.h"
#include "outfile.h"

#include <math.h>

json_t *json_parse(const char *text, size_t len, const char *name,
		   struct strbuf *err)
{
	json_error_t e;
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);

	if (!j)
		strbuf_addf(err, "%s is not valid JSON: line %d, column %d: %s",
			    name, e.line, e.column, e.text);
	return j;
}

json_t *json_load_path(const char *path, size_t max, struct strbuf *err)
{
	struct strbuf sb = STRBUF_INIT_MAX(max);
	json_t *j = NULL;

	if (!strbuf_read_file(&sb, path, err))
		j = json_parse(sb.buf, sb.len, path, err);
	strbuf_release(&sb);
	return j;
}

static void print_string(struct strbuf *sb, const char *s, size_t len)
{
	size_t i;

	strbuf_addch(sb, '"');
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '"' || c == '\\')
			strbuf_addf(sb, "\\%c", c);
		else if (c == '\n')
			strbuf_addstr(sb, "\\n");
		else if (c == '\t')
			strbuf_addstr(sb, "\\t");
		else if (c < 0x20 || c == 0x7f)
			strbuf_addf(sb, "\\u%04x", c);
		else
			strbuf_addch(sb, c);
	}
	strbuf_addch(sb, '"');
}

static void newline(struct strbuf *sb, int depth)
{
	strbuf_addf(sb, "\n%*s", depth * 2, "");
}

static void print(struct strbuf *sb, const json_t *j, int depth)
{
	const char *key;
	json_t *v;
	size_t i, n;
	void *it;

	switch (json_typeof(j)) {
	case JSON_OBJECT:
		strbuf_addch(sb, '{');
		n = 0;
		for (it = json_object_iter((json_t *)j); it;
		     it = json_object_iter_next((json_t *)j, it)) {
			if (n++)
				strbuf_addch(sb, ',');
			newline(sb, depth + 1);
			key = json_object_iter_key(it);
			print_string(sb, key, strlen(key));
			strbuf_addstr(sb, ": ");
			print(sb, json_object_iter_value(it), depth + 1);
		}
		if (n)
			newline(sb, depth);
		strbuf_addch(sb, '}');
		break;
	case JSON_ARRAY:
		strbuf_addch(sb, '[');
		json_array_foreach((json_t *)j, i, v) {
			if (i)
				strbuf_addch(sb, ',');
			newline(sb, depth + 1);
			print(sb, v, depth + 1);
		}
		if (json_array_size(j))
			newline(sb, depth);
		strbuf_addch(sb, ']');
		break;
	case JSON_STRING:
		print_string(sb, json_string_value(j), json_string_length(j));
		break;
	case JSON_INTEGER:
		strbuf_addf(sb, "%" JSON_INTEGER_FORMAT,
			    json_integer_value(j));
		break;
	case JSON_REAL:
		strbuf_add_double(sb, json_real_value(j));
		if (json_real_value(j) == floor(json_real_value(j)) &&
		    fabs(json_real_value(j)) < 1e15)
			strbuf_addstr(sb, ".0");
		break;
	case JSON_TRUE:
		strbuf_addstr(sb, "true");
		break;
	case JSON_FALSE:
		strbuf_addstr(sb, "false");
		break;
	case JSON_NULL:
		strbuf_addstr(sb, "null");
		break;
	}
}

void json_print(struct strbuf *sb, const json_t *j)
{
	print(sb, j, 0);
	strbuf_addch(sb, '\n');
}

int json_save(const json_t *j, const char *path, struct strbuf *err)
{
	struct strbuf sb = STRBUF_INIT;
	int ret;

	json_print(&sb, j);
	ret = outfile_write(path, sb.buf, sb.len, err);
	strbuf_release(&sb);
	return ret;
}

static json_t *need(const json_t *obj, const char *key, json_type type,
		    const char *type_name, const char *file,
		    struct strbuf *err)
{
	json_t *v = json_object_get(obj, key);

	if (!v)
		strbuf_addf(err, "%s: key '%s' is missing", file, key);
	else if (json_typeof(v) != type)
		strbuf_addf(err, "%s: key '%s' is not %s", file, key,
			    type_name);
	else
		return v;
	return NULL;
}

const char *json_need_str(const json_t *obj, const char *key,
			  const char *file, struct strbuf *err)
{
	return json_string_value(need(obj, key, JSON_STRING, "a string", file,
				      err));
}

json_t *json_need_array(const json_t *obj, const char *key, const char *file,
			struct strbuf *err)
{
	return need(obj, key, JSON_ARRAY, "an array", file, err);
}

json_t *json_need_object(const json_t *obj, const char *key, const char *file,
			 struct strbuf *err)
{
	return need(obj, key, JSON_OBJECT, "an object", file, err);
}

const char *json_get_str(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

bool json_array_has(const json_t *arr, const char *s)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)arr, i, v)
		if (json_is_string(v) && !strcmp(json_string_value(v), s))
			return true;
	return false;
}

void json_array_add(json_t *arr, const char *s)
{
	if (!json_array_has(arr, s))
		json_array_append_new(arr, json_string(s));
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

json_t *json_sorted_set(const json_t *arr)
{
	size_t n = json_array_size(arr), i, k = 0;
	const char **v = xcalloc(n, sizeof(*v));
	json_t *out = json_array();

	for (i = 0; i < n; i++)
		if (json_is_string(json_array_get(arr, i)))
			v[k++] = json_string_value(json_array_get(arr, i));
	qsort(v, k, sizeof(*v), by_bytes);
	for (i = 0; i < k; i++)
		if (!i || strcmp(v[i], v[i - 1]))
			json_array_append_new(out, json_string(v[i]));
	free(v);
	return out;
}

json_t *json_sorted_object(const json_t *obj)
{
	json_t *keys = json_array(), *sorted, *out = json_object(), *v;
	const char *key;
	size_t i;

	json_object_foreach((json_t *)obj, key, v)
		json_array_append_new(keys, json_string(key));
	sorted = json_sorted_set(keys);
	json_array_foreach(sorted, i, v)
		json_object_set(out, json_string_value(v),
				json_object_get(obj, json_string_value(v)));
	json_decref(keys);
	json_decref(sorted);
	return out;
}

void json_merge_numbers(json_t *to, const json_t *from)
{
	json_t *v;
	size_t i, k;

	json_array_foreach((json_t *)from, i, v) {
		for (k = 0; k < json_array_size(to); k++)
			if (json_integer_value(json_array_get(to, k)) >=
			    json_integer_value(v))
				break;
		if (!json_equal(json_array_get(to, k), v))
			json_array_insert(to, k, v);
	}
}

char **json_strings(const json_t *arr)
{
	char **v = xcalloc(json_array_size(arr) + 1, sizeof(*v));
	json_t *s;
	size_t i;

	json_array_foreach((json_t *)arr, i, s)
		v[i] = (char *)json_string_value(s);
	return v;
}
