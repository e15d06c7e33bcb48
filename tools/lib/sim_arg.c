#include "sim_arg.h"

const json_t *sim_input(const struct wl_target *t, const char *name)
{
	return json_object_get(json_object_get(t->def, "inputs"), name);
}

/* ---- which arguments there are ---- */

/* Where the input stands, by the template: the first plain argument. */
static const char *where_of(const struct wl_target *t, const char *input)
{
	const json_t *w = json_object_get(json_object_get(t->map.how,
					  "inputs"), input);
	const char *s = json_string_value(json_is_array(w) ?
					  json_array_get(w, 0) : w);

	if (json_is_array(w) && strstr(json_string_value(json_array_get(w,
				json_array_size(w) - 1)), "1/sqrt("))
		return NULL;	/* given to the engine's own forward() */
	if (!w)
		return input;
	return s && strcmp(s, "random") ? s : NULL;
}

static bool literal(struct sim_source_arg *a, const json_t *v)
{
	const json_t *one = json_is_array(v) ? json_array_get(v, 0) : v;

	a->from = FROM_LITERAL;
	a->literal.kind = SIM_NULL;
	if (json_is_null(one))
		return false;	/* its default says so */
	if (json_is_boolean(one)) {
		a->literal.kind = SIM_BOOL;
		a->literal.number = json_is_true(one);
	} else if (json_is_integer(one)) {
		a->literal.kind = SIM_NUMBER;
		a->literal.number = (double)json_integer_value(one);
	} else if (json_is_real(one)) {
		a->literal.kind = SIM_REAL;
		a->literal.number = json_real_value(one);
	} else {
		a->literal.kind = SIM_TEXT;
		a->text = xstrdup(json_string_value(one));
		a->literal.text = a->text;
	}
	return true;
}

/* "null", "true", "3", "1e-6", "torch.bfloat16", "'joint'" */
static void literal_text(struct sim_source_arg *a, const char *s)
{
	char *end;

	a->from = FROM_LITERAL;
	a->literal.kind = SIM_NULL;
	a->literal.number = strtod(s, &end);
	if (!strncmp(s, "torch.", 6)) {
		a->literal.kind = SIM_DTYPE;
		a->text = xstrdup(s + 6);
	} else if (*s == '\'') {
		a->literal.kind = SIM_TEXT;
		a->text = xstrndup(s + 1, strcspn(s + 1, "'"));
	} else if (!strcmp(s, "true") || !strcmp(s, "false")) {
		a->literal.kind = SIM_BOOL;
		a->literal.number = *s == 't';
	} else if (end > s && !*end) {
		a->literal.kind = strpbrk(s, ".eE") ? SIM_REAL : SIM_NUMBER;
	}
	a->literal.text = a->text;
}

/*
 * What the argument `name` of the plan or the run is made of; false: nothing
 * is known of it.
 */
static bool resolve(const struct wl_target *t, struct sim_source_arg *a, const char *name,
		    bool plan)
{
	const json_t *how = t->map.how, *v;
	struct strbuf full = STRBUF_INIT, part = STRBUF_INIT;
	const char *input, *where, *axis;
	json_t *spec;
	bool found = false;

	strbuf_addf(&full, "%s%s", plan ? "plan." : "", name);
	json_object_foreach(json_object_get(t->def, "inputs"), input,
			    spec) {
		where = where_of(t, input);
		if (!where)
			continue;
		strbuf_reset(&part);
		strbuf_addf(&part, "%s%c", full.buf, strchr(where, '[') ? '['
			    : '.');
		if (!strcmp(where, full.buf)) {
			a->from = FROM_INPUT;
			a->input[0] = input;
			found = true;
		} else if (!strncmp(where, part.buf, part.len) &&
			   (where[part.len] == '0' ||
			    where[part.len] == '1')) {
			a->from = strchr(where, '[') ? FROM_JOINED : FROM_PAIR;
			a->input[where[part.len] - '0'] = input;
			found = a->input[0] && a->input[1];
		} else if (!strncmp(where, "last_page_len(", 14) &&
			   !strncmp(where + 14, full.buf, full.len) &&
			   where[14 + full.len] == ')') {
			a->from = FROM_LENGTHS;
			a->input[0] = input;
			found = true;
		}
	}
	json_object_foreach(json_object_get(how, "hold"), axis, spec) {
		const json_t *c = json_object_get(json_object_get(
			json_object_get(t->def, "axes"), axis), "value");

		if (found || strcmp(json_string_value(spec), full.buf))
			continue;
		c = json_is_integer(c) ? c : json_object_get(t->map.params,
							     axis);
		if (json_is_integer(c))
			found = literal(a, c);
	}
	/* with pages of one token the last one is always full */
	if (!found && plan && strlen(name) >= 13 &&
	    !strcmp(name + strlen(name) - 13, "last_page_len")) {
		a->from = FROM_ROWS;
		a->input[0] = "kv_last_page_len";
		found = true;
	}
	/* so many query tokens of each, where the definition has one */
	if (!found && plan && !strcmp(name, "qo_indptr")) {
		a->from = FROM_ROWS;
		a->input[0] = "qo_indptr";
		found = true;
	}
	v = json_object_get(json_object_get(how, "is"), full.buf);
	if (!found && v)
		found = literal(a, v);
	strbuf_release(&full);
	strbuf_release(&part);
	return found;
}

static struct sim_source_arg *add(struct sim_part *p, const char *name, bool keyword)
{
	struct sim_source_arg *a = &p->arg[p->n];

	if (p->n == SIM_ARGS)
		return NULL;
	p->n++;
	*a = (struct sim_source_arg){ .name = xstrdup(name), .keyword = keyword,
			   .from = FROM_LITERAL };
	a->literal.kind = SIM_NULL;
	return a;
}

/* As the template's "call" has them. */
static int add_called(const struct wl_target *t, struct sim_part *p, const json_t *list,
		      bool plan, struct strbuf *err)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v) {
		const char *s = json_string_value(v) ? json_string_value(v) :
			"", *eq = strchr(s, '=');
		bool first = *s == '!';
		char *name = xstrndup(s + first, eq ? (size_t)(eq - s) - first
						    : strlen(s));
		struct sim_source_arg *a = add(p, name, eq && !first);

		if (a && eq && eq[1])
			literal_text(a, eq + 1);
		else if (!a || !resolve(t, a, name, plan)) {
			strbuf_addf(err, "%s: 'call' names %s, which nothing"
				    " gives a value", t->name, name);
			free(name);
			return -1;
		}
		free(name);
	}
	return 0;
}

static bool has_arg(const struct sim_part *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (!strcmp(p->arg[i].name, name))
			return true;
	return false;
}

/* By keyword, an argument that `where` names. */
static void add_keyword(const struct wl_target *t, struct sim_part *run,
			struct sim_part *plan_part, const char *where)
{
	bool plan = !strncmp(where, "plan.", 5);
	struct sim_part *p = plan ? plan_part : run;
	char *name = xstrndup(where + (plan ? 5 : 0), strcspn(where +
				(plan ? 5 : 0), ".)["));
	struct sim_source_arg a = { .name = NULL }, *to;

	if (*name && !has_arg(p, name) && resolve(t, &a, name, plan)) {
		to = add(p, name, true);
		if (to) {
			a.name = to->name;
			a.keyword = true;
			*to = a;
			a.text = NULL;
		}
	}
	free(a.text);
	free(name);
}

/* What tells definitions of one API apart: heads, windows, caps, routing. */
static void add_held(const struct wl_target *t, struct sim_part *plan,
		     struct sim_part *run)
{
	const json_t *how = t->map.how;
	const char *key;
	json_t *v;

	json_object_foreach(json_object_get(how, "hold"), key, v)
		add_keyword(t, run, plan, json_string_value(v));
	json_object_foreach(json_object_get(how, "is"), key, v)
		add_keyword(t, run, plan, key);
}

static void add_all(const struct wl_target *t, struct sim_part *plan,
		    struct sim_part *run)
{
	const json_t *how = t->map.how;
	const char *key, *where;
	json_t *v;

	json_object_foreach(json_object_get(t->def, "inputs"), key, v) {
		where = where_of(t, key);
		if (where && !strncmp(where, "last_page_len(", 14))
			where += 14;
		if (where)
			add_keyword(t, run, plan, where);
	}
	if (json_object_get(how, "queries"))
		add_keyword(t, run, plan, "plan.qo_indptr");
	add_held(t, plan, run);
}

static char *signature_of(const struct sim_part *p, bool self)
{
	struct strbuf sb = STRBUF_INIT;
	bool star = false;
	size_t i;

	strbuf_addstr(&sb, self ? "(self" : "(");
	for (i = 0; i < p->n; i++) {
		if (p->arg[i].keyword && !star) {
			strbuf_addf(&sb, "%s*", sb.len > 1 ? ", " : "");
			star = true;
		}
		strbuf_addf(&sb, "%s%s%s", sb.len > 1 ? ", " : "",
			    p->arg[i].name, star ? "=None" : "");
	}
	strbuf_addch(&sb, ')');
	return strbuf_detach(&sb);
}

int sim_args(const struct wl_target *t, struct sim_part *plan,
	     struct sim_part *run, bool self, struct strbuf *err)
{
	const json_t *call = json_object_get(t->t.json, "call");

	if (!call)
		add_all(t, plan, run);
	else if (add_called(t, plan, json_object_get(call, "plan"), true,
			    err) ||
		 add_called(t, run, json_object_get(call, "run"), false, err))
		return -1;
	else
		add_held(t, plan, run);
	run->signature = signature_of(run, self);
	plan->signature = signature_of(plan, self);
	return 0;
}

void sim_part_release(struct sim_part *p)
{
	size_t i;

	for (i = 0; i < p->n; i++) {
		free(p->arg[i].name);
		free(p->arg[i].text);
	}
	free(p->function);
	free(p->signature);
}
