#include "kernels.h"

#include <dirent.h>

json_t *kernels_op_types(const char *dir, struct strbuf *err)
{
	json_t *arr = json_array(), *sorted = NULL;
	struct strbuf path = STRBUF_INIT;
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/%s/shapes.jq", dir, e->d_name);
		if (e->d_name[0] != '.' && !access(path.buf, R_OK))
			json_array_append_new(arr, json_string(e->d_name));
	}
	if (d)
		closedir(d);
	if (json_array_size(arr))
		sorted = json_sorted_set(arr);
	else
		strbuf_addf(err, "%s holds no OP/shapes.jq", dir);
	json_decref(arr);
	strbuf_release(&path);
	return sorted;
}

/* o over base; null removes what base has. */
static void overlay(json_t *base, const json_t *o)
{
	const char *key;
	json_t *v, *had;

	json_object_foreach((json_t *)o, key, v) {
		had = json_object_get(base, key);
		if (json_is_object(had) && json_is_object(v))
			overlay(had, v);
		else if (had && json_is_null(v))
			json_object_del(base, key);
		else
			json_object_set(base, key, v);
	}
}

/* The JSON of NAME over that of what it extends, and so on. */
static json_t *load_chain(struct kernel_template *t, const char *op,
			  const char *name, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	json_t *own, *base;
	const char *extends;

	if (t->nbases == ARRAY_SIZE(t->bases)) {
		strbuf_addf(err, "%s: extends too many", t->file);
		return NULL;
	}
	strbuf_addf(&path, "%s/%s/%s", t->dir, op, name);
	t->bases[t->nbases++] = xstrdup(path.buf);
	strbuf_addstr(&path, ".json");
	own = json_load_path(path.buf, 1 << 20, err);
	strbuf_release(&path);
	extends = json_get_str(own, "extends");
	if (!extends)
		return own;
	base = load_chain(t, op, extends, err);
	if (base)
		overlay(base, own);
	json_decref(own);
	return base;
}

int kernel_template_load(struct kernel_template *t, const char *dir,
			 const char *op, const char *name, struct strbuf *err)
{
	struct strbuf sb = STRBUF_INIT;

	*t = (struct kernel_template){ .dir = xstrdup(dir) };
	strbuf_addf(&sb, "%s/%s/%s.json", dir, op, name);
	t->file = strbuf_detach(&sb);
	t->json = load_chain(t, op, name, err);
	if (t->json && json_need_str(t->json, "name", t->file, err) &&
	    json_need_array(t->json, "fi_api", t->file, err) &&
	    json_need_object(t->json, "definition", t->file, err))
		return 0;
	kernel_template_release(t);
	return -1;
}

void kernel_template_release(struct kernel_template *t)
{
	size_t i;

	json_decref(t->json);
	free(t->file);
	free(t->dir);
	for (i = 0; i < t->nbases; i++)
		free(t->bases[i]);
	*t = (struct kernel_template){ .json = NULL };
}

static bool put_value(struct strbuf *sb, const json_t *v)
{
	if (json_is_string(v))
		strbuf_addstr(sb, json_string_value(v));
	else if (json_is_integer(v))
		strbuf_addf(sb, "%" JSON_INTEGER_FORMAT,
			    json_integer_value(v));
	else if (json_is_real(v))
		strbuf_add_double(sb, json_real_value(v));
	else
		return false;
	return true;
}

/* Fills @{key} from values. */
static int fill(struct strbuf *out, const char *s, const json_t *values,
		const char *file, struct strbuf *err)
{
	while (*s) {
		size_t n = strcspn(s, "@");
		const char *end;
		char *key;

		strbuf_add(out, s, n);
		s += n;
		if (!*s)
			break;
		end = s[1] == '{' ? strchr(s, '}') : NULL;
		if (!end) {
			strbuf_addch(out, *s++);
			continue;
		}
		key = xstrndup(s + 2, (size_t)(end - s - 2));
		if (!put_value(out, json_object_get(values, key))) {
			strbuf_addf(err, "%s: nothing is known to fill @{%s}",
				    file, key);
			free(key);
			return -1;
		}
		free(key);
		s = end + 1;
	}
	return 0;
}

char *kernel_name(const struct kernel_template *t, const json_t *axes,
		  const json_t *params, struct strbuf *err)
{
	json_t *values = json_deep_copy(axes);
	struct strbuf sb = STRBUF_INIT;
	char *name = NULL;

	json_object_update(values, (json_t *)params);
	if (!fill(&sb, json_get_str(t->json, "name"), values, t->file, err)) {
		if (kernel_name_ok(sb.buf))
			name = strbuf_detach(&sb);
		else
			strbuf_addf(err, "%s: '%s' is no name for a"
				    " definition", t->file, sb.buf);
	}
	json_decref(values);
	strbuf_release(&sb);
	return name;
}

/* A copy with all strings filled. */
static json_t *fill_all(const json_t *j, const json_t *values,
			const char *file, struct strbuf *err)
{
	struct strbuf sb = STRBUF_INIT;
	const char *key;
	json_t *out, *v;
	size_t i;

	if (json_is_string(j)) {
		out = fill(&sb, json_string_value(j), values, file, err)
			? NULL : json_string(sb.buf);
		strbuf_release(&sb);
		return out;
	}
	if (json_is_array(j)) {
		out = json_array();
		json_array_foreach((json_t *)j, i, v)
			json_array_append_new(out, fill_all(v, values, file,
							    err));
		return out;
	}
	if (json_is_object(j)) {
		out = json_object();
		json_object_foreach((json_t *)j, key, v)
			json_object_set_new(out, key, fill_all(v, values, file,
							       err));
		return out;
	}
	return json_deep_copy(j);
}

static void add_tags(json_t *tags, const char *prefix, const json_t *list)
{
	struct strbuf sb = STRBUF_INIT;
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v) {
		strbuf_reset(&sb);
		strbuf_addf(&sb, "%s:", prefix);
		put_value(&sb, v);
		json_array_add(tags, sb.buf);
	}
	strbuf_release(&sb);
}

static json_t *make_tags(const json_t *pattern, const struct kernel_use *use)
{
	json_t *tags = json_array(), *v;
	size_t i;

	json_array_foreach((json_t *)pattern, i, v) {
		const char *s = json_string_value(v);

		if (!strcmp(s, "@models"))
			add_tags(tags, "model", use->models);
		else if (!strcmp(s, "@tp"))
			add_tags(tags, "tp", use->tp);
		else if (!strcmp(s, "@ep"))
			add_tags(tags, "ep", use->ep);
		else if (use->unverified && !strncmp(s, "status:", 7))
			json_array_add(tags, "status:unverified");
		else
			json_array_add(tags, s);
	}
	return tags;
}

/* Const axes get their value, right after "type". */
static json_t *make_axes(const json_t *pattern, const json_t *axes,
			 const char *file, struct strbuf *err)
{
	json_t *out = json_object(), *axis, *v;
	const char *name, *key;

	json_object_foreach((json_t *)pattern, name, axis) {
		const char *type = json_get_str(axis, "type");
		json_t *o = json_object();

		json_object_foreach(axis, key, v) {
			json_object_set(o, key, v);
			if (strcmp(key, "type") || !type ||
			    strcmp(type, "const"))
				continue;
			if (!json_object_get(axes, name))
				strbuf_addf(err, "%s: const axis '%s' has no"
					    " value", file, name);
			json_object_set(o, "value", json_object_get(axes,
								    name));
		}
		json_object_set_new(out, name, o);
	}
	return out;
}

/*
 * A line "# part: NAME" stands for DIR/parts/NAME.py, or for the part that
 * the template names instead.
 */
static int add_parts(struct strbuf *out, const char *src,
		     const struct kernel_template *t, struct strbuf *err)
{
	const json_t *instead = json_object_get(t->json, "parts");
	static const char mark[] = "# part: ";

	while (*src) {
		size_t n = strcspn(src, "\n");

		if (!strncmp(src, mark, sizeof(mark) - 1)) {
			struct strbuf path = STRBUF_INIT, part = STRBUF_INIT;
			char *name = xstrndup(src + sizeof(mark) - 1,
					      n - (sizeof(mark) - 1));
			const char *other = json_get_str(instead, name);
			int ret;

			strbuf_addf(&path, "%s/parts/%s.py", t->dir,
				    other ? other : name);
			ret = strbuf_read_file(&part, path.buf, err);
			strbuf_add(out, part.buf, part.len);
			free(name);
			strbuf_release(&path);
			strbuf_release(&part);
			if (ret)
				return -1;
			n += src[n] == '\n';
		} else {
			n += src[n] == '\n';
			strbuf_add(out, src, n);
		}
		src += n;
	}
	return 0;
}

char *kernel_text(const struct kernel_template *t, const char *suffix,
		  const json_t *values, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT, src = STRBUF_INIT_MAX(1 << 20);
	struct strbuf out = STRBUF_INIT, whole = STRBUF_INIT;
	char *text = NULL;
	size_t i;

	for (i = 0; i < t->nbases; i++) {
		strbuf_reset(&path);
		strbuf_addf(&path, "%s%s", t->bases[i], suffix);
		if (!access(path.buf, R_OK))
			break;
	}
	if (!strbuf_read_file(&src, path.buf, err) &&
	    !add_parts(&whole, src.buf, t, err) &&
	    !fill(&out, whole.buf, values, path.buf, err))
		text = xstrdup(out.buf);
	strbuf_release(&path);
	strbuf_release(&src);
	strbuf_release(&whole);
	strbuf_release(&out);
	return text;
}

/* What fills the placeholders. */
static json_t *values_of(const char *op, const char *name,
			 const struct kernel_use *use)
{
	json_t *values = json_deep_copy(use->axes);

	json_object_update(values, (json_t *)use->params);
	json_object_set_new(values, "model", json_string(use->display));
	json_object_set_new(values, "definition_name", json_string(name));
	json_object_set_new(values, "op_type", json_string(op));
	return values;
}

char *kernel_test(const struct kernel_template *t, const char *op,
		  const char *name, const struct kernel_use *use,
		  struct strbuf *err)
{
	json_t *values = values_of(op, name, use);
	char *text = kernel_text(t, "_test.py", values, err);

	json_decref(values);
	return text;
}

json_t *kernel_wrapper(const char *name, const char *definition, const char *author,
		       const char *description, const char *language,
		       const char *needs, const char *text)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:[s], s:s, s:o, s:b},"
			 " s:[{s:s, s:s}]}", "name", name, "definition", definition,
			 "author", author, "description", description, "spec",
			 "language", language, "target_hardware", "cuda",
			 "entry_point", "main.py::run", "dependencies",
			 needs ? json_pack("[s]", needs) : json_array(),
			 "destination_passing_style", false, "sources", "path",
			 "main.py", "content", text);
}

json_t *kernel_solution(const struct kernel_template *t, const char *op,
			const char *name, const struct kernel_use *use,
			struct strbuf *err)
{
	json_t *values = values_of(op, name, use), *sol = NULL;
	char *text = kernel_text(t, "_baseline.py", values, err);
	bool flashinfer = text && strstr(text, "flashinfer");
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "flashinfer_wrapper_%s", name);
	if (text)
		sol = kernel_wrapper(sb.buf, name, "baseline", flashinfer ?
			"Wraps the kernel of FlashInfer." : "Wraps PyTorch.",
			"python", flashinfer ? "flashinfer" : NULL, text);
	json_decref(values);
	strbuf_release(&sb);
	free(text);
	return sol;
}

json_t *kernel_definition(const struct kernel_template *t, const char *op,
			  const char *name, const struct kernel_use *use,
			  struct strbuf *err)
{
	json_t *pattern = json_object_get(t->json, "definition");
	json_t *values = values_of(op, name, use), *filled, *def, *v;
	struct strbuf text = STRBUF_INIT;
	size_t had = err->len;
	const char *key;
	char *reference;

	filled = fill_all(pattern, values, t->file, err);
	def = json_pack("{s:s}", "name", name);
	json_object_foreach(filled, key, v) {
		if (!strcmp(key, "description")) {
			strbuf_addf(&text, "%s%s%s", json_string_value(v) ?
				    json_string_value(v) : "",
				    use->note ? " " : "",
				    use->note ? use->note : "");
			json_object_set_new(def, key, json_string(text.buf));
			json_object_set_new(def, "op_type", json_string(op));
		} else if (!strcmp(key, "tags")) {
			json_object_set_new(def, key, make_tags(v, use));
		} else if (!strcmp(key, "axes")) {
			json_object_set_new(def, key, make_axes(v, use->axes,
						t->file, err));
		} else {
			json_object_set(def, key, v);
		}
	}
	reference = kernel_text(t, ".py", values, err);
	json_object_set_new(def, "reference", json_string(reference));
	free(reference);
	json_decref(filled);
	json_decref(values);
	strbuf_release(&text);
	if (err->len == had)
		return def;
	json_decref(def);
	return NULL;
}

/* As an entry of kernels.json says, for one model. */
static struct kernel_use use_of(const json_t *entry, const json_t *models,
				const char *display)
{
	const char *fi = json_get_str(entry, "fi_status");

	return (struct kernel_use){ .axes = json_object_get(entry, "axes"),
		.params = json_object_get(entry, "params"),
		.display = display, .models = models,
		.tp = json_object_get(entry, "tp"),
		.ep = json_object_get(entry, "ep"),
		.note = json_get_str(entry, "note"),
		.unverified = fi && !strcmp(fi, "fi_missing") };
}

json_t *kernel_definition_for(const char *dir, const json_t *entry,
			      const char *slug, const char *display,
			      struct strbuf *err)
{
	const char *op = json_get_str(entry, "op_type");
	json_t *models = json_pack("[s]", slug), *def = NULL;
	struct kernel_use use = use_of(entry, models, display);
	struct kernel_template t;

	if (!kernel_template_load(&t, dir, op, json_get_str(entry, "template"),
				  err)) {
		def = kernel_definition(&t, op, json_get_str(entry,
					"definition_name"), &use, err);
		kernel_template_release(&t);
	}
	json_decref(models);
	return def;
}

char *kernel_companions_for(const char *dir, const json_t *entry,
			    const char *slug, const char *display,
			    json_t **solution, struct strbuf *err)
{
	const char *op = json_get_str(entry, "op_type");
	const char *name = json_get_str(entry, "definition_name");
	json_t *models = json_pack("[s]", slug);
	struct kernel_use use = use_of(entry, models, display);
	struct kernel_template t;
	char *test = NULL;

	*solution = NULL;
	if (!kernel_template_load(&t, dir, op, json_get_str(entry, "template"),
				  err)) {
		test = kernel_test(&t, op, name, &use, err);
		if (test && !use.unverified)
			*solution = kernel_solution(&t, op, name, &use, err);
		kernel_template_release(&t);
	}
	json_decref(models);
	return test;
}
