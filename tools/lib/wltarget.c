#include "wltarget.h"
#include "outfile.h"

#include <dirent.h>

static bool same_inputs(const json_t *def, const json_t *template)
{
	json_t *a = json_object_get(def, "inputs"), *v;
	json_t *b = json_object_get(json_object_get(template, "definition"),
				    "inputs");
	const char *key;

	if (json_object_size(a) != json_object_size(b))
		return false;
	json_object_foreach(a, key, v)
		if (!json_object_get(b, key))
			return false;
	return true;
}

/* "_sw512_cap50": the window as plan() is told it, and the cap. */
static void add_bounds(json_t *params, const char *variant)
{
	const char *sw = strstr(variant, "_sw"), *cap = strstr(variant, "_cap");

	if (sw)
		json_object_set_new(params, "window_left",
				    json_integer(strtoll(sw + 3, NULL, 10) - 1));
	if (cap)
		json_object_set_new(params, "cap",
				    json_integer(strtoll(cap + 4, NULL, 10)));
}

/* The template whose name and inputs are the definition's. */
static bool find_template(struct wl_target *t, const char *kernels,
			  const char *file)
{
	struct strbuf no = STRBUF_INIT;
	json_t *params = json_object();
	char *base = xstrndup(file, strlen(file) - 5);
	const char *prefix, *variant;
	bool fits = false;

	if (!kernel_template_load(&t->t, kernels, t->op, base, &no)) {
		prefix = json_get_str(t->t.json, "variant");
		fits = same_inputs(t->def, t->t.json) &&
			kernel_name_fits(json_get_str(t->t.json, "name"),
					 t->name, params);
		variant = json_get_str(params, "variant");
		if (fits && variant && prefix)
			fits = !strncmp(variant, prefix, strlen(prefix));
		if (fits && variant)
			add_bounds(params, variant);
		if (fits) {
			t->map.definition = t->def;
			t->map.how = json_object_get(t->t.json, "dump");
			t->map.params = params;
			params = NULL;
		} else {
			kernel_template_release(&t->t);
		}
	}
	json_decref(params);
	strbuf_release(&no);
	free(base);
	return fits;
}

/* "flashinfer.decode.X" -> X.run, X.forward, or the function. */
static void add_calls(json_t *calls, const char *path)
{
	static const char *const methods[] = { "run", "forward",
		"forward_return_lse" };
	const char *last = strrchr(path, '.');
	struct strbuf sb = STRBUF_INIT;
	size_t i;

	last = last ? last + 1 : path;
	if (!strcmp(last, "run")) {	/* a tag that names the method */
		const char *class = last - 1;

		while (class > path && class[-1] != '.')
			class--;
		strbuf_add(&sb, class, (size_t)(last - 1 - class));
	} else {
		strbuf_addstr(&sb, last);
	}
	if (sb.buf[0] >= 'A' && sb.buf[0] <= 'Z') {
		size_t n = sb.len;

		for (i = 0; i < ARRAY_SIZE(methods); i++) {
			sb.len = n;
			sb.buf[n] = '\0';
			strbuf_addf(&sb, ".%s", methods[i]);
			json_array_add(calls, sb.buf);
		}
	} else {
		json_array_add(calls, sb.buf);
	}
	strbuf_release(&sb);
}

void wl_target_fill(struct wl_target *t, const char *kernels)
{
	struct strbuf path = STRBUF_INIT;
	struct dirent **v = NULL;
	json_t *tag;
	size_t i;
	int n, k;

	strbuf_addf(&path, "%s/%s", kernels, t->op);
	n = scandir(path.buf, &v, dir_json, dir_by_name);
	for (k = 0; k < n; k++) {
		if (!t->map.definition)
			find_template(t, kernels, v[k]->d_name);
		free(v[k]);
	}
	free(n >= 0 ? v : NULL);
	t->map.definition = t->def;
	t->map.checked = jdoc_copy(&t->checked, t->def);
	t->calls = json_array();
	json_array_foreach(json_object_get(t->def, "tags"), i, tag) {
		const char *s = json_string_value(tag);

		if (s && !strncmp(s, "fi_api:", 7))
			add_calls(t->calls, s + 7);
	}
	json_array_foreach(json_object_get(t->t.json, "fi_api"), i, tag)
		add_calls(t->calls, json_string_value(tag));
	strbuf_release(&path);
}
