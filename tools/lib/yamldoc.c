#include "yamldoc.h"

#include <yaml.h>

#define MAX_DEPTH 64
#define MAX_NODES 200000

struct reader {
	yaml_parser_t parser;
	const char *name;
	struct strbuf *err;
	int depth, nodes;
	json_t *anchors;	/* name -> node, whole ones only */
};

static json_t *node(struct reader *r, yaml_event_t *e);

static json_t *refuse(struct reader *r, const yaml_event_t *e,
		      const char *what)
{
	if (!r->err->len)
		strbuf_addf(r->err, "%s: line %zu: %s", r->name,
			    e->start_mark.line + 1, what);
	return NULL;
}

static bool get(struct reader *r, yaml_event_t *e)
{
	if (yaml_parser_parse(&r->parser, e))
		return true;
	strbuf_addf(r->err, "%s is not valid YAML: line %zu: %s", r->name,
		    r->parser.problem_mark.line + 1,
		    r->parser.problem ? r->parser.problem : "unreadable");
	return false;
}

static json_t *scalar(const yaml_event_t *e)
{
	const char *s = (const char *)e->data.scalar.value;
	size_t n = e->data.scalar.length;
	char *end;
	long long v;

	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		if (!n || !strcmp(s, "null") || !strcmp(s, "~") ||
		    !strcmp(s, "Null") || !strcmp(s, "NULL"))
			return json_null();
		if (!strcmp(s, "true") || !strcmp(s, "True"))
			return json_true();
		if (!strcmp(s, "false") || !strcmp(s, "False"))
			return json_false();
		errno = 0;
		v = strtoll(s, &end, 10);
		if (!errno && end == s + n)
			return json_integer(v);
	}
	return json_stringn(s, n);
}

static json_t *sequence(struct reader *r)
{
	json_t *arr = json_array(), *v;
	yaml_event_t e;

	while (get(r, &e)) {
		if (e.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&e);
			return arr;
		}
		v = node(r, &e);
		yaml_event_delete(&e);
		if (!v)
			break;
		json_array_append_new(arr, v);
	}
	json_decref(arr);
	return NULL;
}

static json_t *mapping(struct reader *r)
{
	json_t *obj = json_object(), *v;
	bool first = true;
	yaml_event_t e;
	char *key;

	while (get(r, &e)) {
		if (e.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&e);
			return obj;
		}
		if (e.type != YAML_SCALAR_EVENT) {
			refuse(r, &e, "a key is no plain word");
			yaml_event_delete(&e);
			break;
		}
		key = xstrdup((const char *)e.data.scalar.value);
		if (first)
			json_object_set_new(obj, "@line", json_integer(
				(json_int_t)e.start_mark.line + 1));
		first = false;
		if (json_object_get(obj, key))
			refuse(r, &e, "a key stands twice");
		yaml_event_delete(&e);
		if (r->err->len || !get(r, &e)) {
			free(key);
			break;
		}
		v = node(r, &e);
		yaml_event_delete(&e);
		if (!v || json_object_set_new(obj, key, v)) {
			if (v)
				strbuf_addf(r->err, "%s: a key is no UTF-8",
					    r->name);
			free(key);
			break;
		}
		free(key);
	}
	json_decref(obj);
	return NULL;
}

static int count(const json_t *j)
{
	const char *key;
	json_t *v;
	size_t i;
	int n = 1;

	json_array_foreach((json_t *)j, i, v)
		n += count(v);
	json_object_foreach((json_t *)j, key, v)
		n += count(v);
	return n;
}

static json_t *alias(struct reader *r, yaml_event_t *e)
{
	const json_t *j = json_object_get(r->anchors,
				(const char *)e->data.alias.anchor);

	if (!j)
		return refuse(r, e, "an alias of nothing");
	r->nodes += count(j);
	return json_deep_copy(j);
}

static json_t *node(struct reader *r, yaml_event_t *e)
{
	const char *anchor = NULL;
	json_t *j = NULL;

	if (++r->nodes > MAX_NODES)
		return refuse(r, e, "more nodes than such a file can have");
	if (r->depth >= MAX_DEPTH)
		return refuse(r, e, "nested too deeply");
	r->depth++;
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		anchor = (const char *)e->data.scalar.anchor;
		j = scalar(e);
		if (!j)
			refuse(r, e, "text that is no UTF-8");
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = (const char *)e->data.sequence_start.anchor;
		j = sequence(r);
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = (const char *)e->data.mapping_start.anchor;
		j = mapping(r);
		break;
	case YAML_ALIAS_EVENT:
		j = alias(r, e);
		break;
	default:
		refuse(r, e, "unexpected structure");
	}
	r->depth--;
	if (j && anchor)
		json_object_set(r->anchors, anchor, j);
	return j;
}

json_t *yaml_parse(const char *text, size_t len, const char *name,
		   struct strbuf *err)
{
	struct strbuf own = STRBUF_INIT;
	struct reader r = { .name = name, .err = &own,
			    .anchors = json_object() };
	json_t *j = NULL;
	yaml_event_t e;

	if (!yaml_parser_initialize(&r.parser))
		BUG("libyaml has no memory");
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text,
				     len);
	while (!j && !own.len && get(&r, &e)) {
		if (e.type == YAML_STREAM_END_EVENT) {
			yaml_event_delete(&e);
			break;
		}
		if (e.type != YAML_STREAM_START_EVENT &&
		    e.type != YAML_DOCUMENT_START_EVENT)
			j = node(&r, &e);
		yaml_event_delete(&e);
	}
	if (!j && !own.len)
		strbuf_addf(&own, "%s is empty", name);
	yaml_parser_delete(&r.parser);
	json_decref(r.anchors);
	strbuf_add(err, own.buf, own.len);
	strbuf_release(&own);
	return j;
}

json_t *yaml_load_path(const char *path, struct strbuf *err)
{
	struct strbuf sb = STRBUF_INIT_MAX((size_t)8 << 20);
	json_t *j = NULL;

	if (!strbuf_read_file(&sb, path, err))
		j = yaml_parse(sb.buf, sb.len, path, err);
	strbuf_release(&sb);
	return j;
}
