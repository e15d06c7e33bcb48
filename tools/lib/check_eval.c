#include "check.h"

static const char *str(const struct jval *o, const char *key)
{
	const char *s = jv_get_str(o, key);

	return s ? s : "";
}

static bool one_of(const char *s, const char *const *words, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!strcmp(s, words[i]))
			return true;
	return false;
}

static void same(struct check *c, const struct jval *s, const char *key,
		 const char *want)
{
	if (strcmp(str(s, key), want))
		check_error(c, "%s '%s' is not the path's, '%s'", key,
			    str(s, key), want);
}

static void check_sources(struct check *c, const struct jval *s)
{
	const struct jval *sources = jv_get(s, "sources"), *v, *w;
	const char *entry = str(jv_get(s, "spec"), "entry_point");
	const char *sep = strstr(entry, "::");
	char *file = xstrndup(entry, sep ? (size_t)(sep - entry) : 0);
	bool found = false;
	size_t i = 0;

	if (!jv_is(sources, J_ARR) || !sources->n)
		check_error(c, "it has no sources");
	jv_each(v, sources) {
		const char *p = str(v, "path"), *q;

		if (!*p || !*str(v, "content"))
			check_error(c, "source %zu has no path or no content",
				    i);
		i++;
		for (q = p; (q = strstr(q, "..")); q += 2)
			if ((q == p || q[-1] == '/') &&
			    (!q[2] || q[2] == '/'))
				break;
		if (*p == '/' || q)
			check_error(c, "source path '%s' leaves the solution",
				    p);
		for (w = sources->first; w != v; w = w->next)
			if (!strcmp(str(w, "path"), p))
				break;
		if (w != v)
			check_error(c, "source '%s' stands twice", p);
		found |= !strcmp(p, file);
	}
	if (!sep || !*file || !sep[2] || strstr(sep + 2, "::"))
		check_error(c, "entry_point '%s' is not FILE::FUNCTION",
			    entry);
	else if (!found)
		check_error(c, "entry_point's file '%s' is not among the"
			    " sources", file);
	free(file);
}

void check_solution(struct check *c, const struct jval *s, const char *author,
		    const char *def, const char *stem)
{
	static const char *const languages[] = { "python", "triton", "cpp",
		"cuda", "tilelang" };
	const struct jval *spec = jv_get(s, "spec");
	const struct jval *hardware = jv_get(spec, "target_hardware");

	c->section = "solution";
	if (!jv_is(s, J_OBJ)) {
		check_error(c, "it is no JSON object");
		return;
	}
	same(c, s, "name", stem);
	same(c, s, "definition", def);
	same(c, s, "author", author);
	if (!one_of(str(spec, "language"), languages,
		    ARRAY_SIZE(languages)))
		check_error(c, "language '%s' is not known",
			    str(spec, "language"));
	if (!jv_is(hardware, J_ARR) || !hardware->n)
		check_error(c, "it names no target_hardware");
	check_sources(c, s);
}

static void not_negative(struct check *c, const struct jval *o, const char *key)
{
	const struct jval *v = jv_get(o, key);

	if (v && !jv_is_number(v) && !jv_is(v, J_STR))
		check_error(c, "%s is no number", key);
	else if (jv_is_number(v) && jv_number(v) < 0)
		check_error(c, "%s is negative", key);
}

static void check_evaluation(struct check *c, const struct jval *e)
{
	static const char *const words[] = { "PASSED", "INCORRECT_SHAPE",
		"INCORRECT_NUMERICAL", "INCORRECT_DTYPE", "RUNTIME_ERROR",
		"COMPILE_ERROR", "TIMEOUT" };
	const char *status = str(e, "status");
	const struct jval *right = jv_get(e, "correctness");
	const struct jval *perf = jv_get(e, "performance");
	bool passed = !strcmp(status, "PASSED");
	bool wrong = !strcmp(status, "INCORRECT_NUMERICAL");

	right = jv_is(right, J_NULL) ? NULL : right;
	perf = jv_is(perf, J_NULL) ? NULL : perf;
	if (!one_of(status, words, ARRAY_SIZE(words)))
		check_error(c, "status '%s' is not known", status);
	else if (!!right != (passed || wrong))
		check_error(c, "%s %s correctness", status, right ? "has" :
			    "needs");
	else if (!!perf != passed)
		check_error(c, "%s %s performance", status, perf ? "has" :
			    "needs");
	if (!*str(jv_get(e, "environment"), "hardware"))
		check_error(c, "environment.hardware is missing");
	if (!*str(e, "timestamp"))
		check_error(c, "timestamp is missing");
	not_negative(c, right, "max_relative_error");
	not_negative(c, right, "max_absolute_error");
	not_negative(c, perf, "latency_ms");
	not_negative(c, perf, "reference_latency_ms");
	not_negative(c, perf, "speedup_factor");
}

void check_trace(struct check *c, const struct jval *line,
		 const struct strmap *solutions, const char *author)
{
	const char *sol = jv_get_str(line, "solution"), *owner;
	const struct jval *e = jv_get(line, "evaluation");
	const char *uuid = str(jv_get(line, "workload"), "uuid");
	bool baseline = !strcmp(author, "baseline");

	c->section = "trace";
	if (!sol || !jv_is(e, J_OBJ)) {
		check_error(c, "a trace needs solution and evaluation");
		return;
	}
	owner = strmap_get(solutions, sol);
	if (!owner)
		check_error(c, "solution '%s' is not known", sol);
	check_evaluation(c, e);
	if (*uuid)
		check_note(&c->covered, uuid, c->line);
	if (!baseline)
		return;
	c->section = "baseline";
	if (owner && strcmp(owner, "baseline"))
		check_error(c, "solution '%s' is of '%s', not of baseline",
			    sol, owner);
	if (strcmp(str(e, "status"), "PASSED"))
		check_warn(c, "the baseline is %s", str(e, "status"));
}
