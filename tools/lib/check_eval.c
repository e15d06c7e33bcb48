#include "check.h"

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_get_str(o, key);

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

static void same(struct check *c, const json_t *s, const char *key,
		 const char *want)
{
	if (strcmp(str(s, key), want))
		check_error(c, "%s '%s' is not the path's, '%s'", key,
			    str(s, key), want);
}

static void check_sources(struct check *c, const json_t *s)
{
	json_t *sources = json_object_get(s, "sources"), *paths = json_array();
	json_t *v;
	const char *entry = str(json_object_get(s, "spec"), "entry_point");
	const char *sep = strstr(entry, "::");
	char *file = xstrndup(entry, sep ? (size_t)(sep - entry) : 0);
	size_t i;

	if (!json_array_size(sources))
		check_error(c, "it has no sources");
	json_array_foreach(sources, i, v) {
		const char *p = str(v, "path"), *q;

		if (!*p || !*str(v, "content"))
			check_error(c, "source %zu has no path or no content",
				    i);
		for (q = p; (q = strstr(q, "..")); q += 2)
			if ((q == p || q[-1] == '/') &&
			    (!q[2] || q[2] == '/'))
				break;
		if (*p == '/' || q)
			check_error(c, "source path '%s' leaves the solution",
				    p);
		if (json_array_has(paths, p))
			check_error(c, "source '%s' stands twice", p);
		json_array_add(paths, p);
	}
	if (!sep || !*file || !sep[2] || strstr(sep + 2, "::"))
		check_error(c, "entry_point '%s' is not FILE::FUNCTION",
			    entry);
	else if (!json_array_has(paths, file))
		check_error(c, "entry_point's file '%s' is not among the"
			    " sources", file);
	free(file);
	json_decref(paths);
}

void check_solution(struct check *c, const json_t *s, const char *author,
		    const char *op, const char *def, const char *stem,
		    const json_t *definitions)
{
	static const char *const languages[] = { "python", "triton", "cpp",
		"cuda", "tilelang" };
	const json_t *spec = json_object_get(s, "spec");
	const json_t *d = json_object_get(definitions, def);

	c->section = "solution";
	if (!json_is_object(s)) {
		check_error(c, "it is no JSON object");
		return;
	}
	same(c, s, "name", stem);
	same(c, s, "definition", def);
	same(c, s, "author", author);
	if (d && strcmp(str(d, "op_type"), op))
		check_error(c, "its folder '%s' is not the definition's"
			    " op_type, '%s'", op, str(d, "op_type"));
	if (!one_of(str(spec, "language"), languages,
		    ARRAY_SIZE(languages)))
		check_error(c, "language '%s' is not known",
			    str(spec, "language"));
	if (!json_array_size(json_object_get(spec, "target_hardware")))
		check_error(c, "it names no target_hardware");
	check_sources(c, s);
}

static void not_negative(struct check *c, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (v && !json_is_number(v) && !json_is_string(v))
		check_error(c, "%s is no number", key);
	else if (json_is_number(v) && json_number_value(v) < 0)
		check_error(c, "%s is negative", key);
}

static void check_evaluation(struct check *c, const json_t *e)
{
	static const char *const words[] = { "PASSED", "INCORRECT_SHAPE",
		"INCORRECT_NUMERICAL", "INCORRECT_DTYPE", "RUNTIME_ERROR",
		"COMPILE_ERROR", "TIMEOUT" };
	const char *status = str(e, "status");
	const json_t *right = json_object_get(e, "correctness");
	const json_t *perf = json_object_get(e, "performance");
	bool passed = !strcmp(status, "PASSED");
	bool wrong = !strcmp(status, "INCORRECT_NUMERICAL");

	right = json_is_null(right) ? NULL : right;
	perf = json_is_null(perf) ? NULL : perf;
	if (!one_of(status, words, ARRAY_SIZE(words)))
		check_error(c, "status '%s' is not known", status);
	else if (!!right != (passed || wrong))
		check_error(c, "%s %s correctness", status, right ? "has" :
			    "needs");
	else if (!!perf != passed)
		check_error(c, "%s %s performance", status, perf ? "has" :
			    "needs");
	if (!*str(json_object_get(e, "environment"), "hardware"))
		check_error(c, "environment.hardware is missing");
	if (!*str(e, "timestamp"))
		check_error(c, "timestamp is missing");
	not_negative(c, right, "max_relative_error");
	not_negative(c, right, "max_absolute_error");
	not_negative(c, perf, "latency_ms");
	not_negative(c, perf, "reference_latency_ms");
	not_negative(c, perf, "speedup_factor");
}

void check_trace(struct check *c, const json_t *line, const json_t *solutions,
		 const char *author)
{
	const char *sol = json_get_str(line, "solution"), *owner;
	const json_t *e = json_object_get(line, "evaluation");
	const char *uuid = str(json_object_get(line, "workload"), "uuid");
	bool baseline = !strcmp(author, "baseline");

	c->section = "trace";
	if (!sol || !json_is_object(e)) {
		check_error(c, "a trace needs solution and evaluation");
		return;
	}
	owner = json_get_str(solutions, sol);
	if (!owner)
		check_error(c, "solution '%s' is not known", sol);
	check_evaluation(c, e);
	if (!c->covered)
		c->covered = json_object();
	if (*uuid)
		json_object_set_new(c->covered, uuid, json_true());
	if (!baseline)
		return;
	c->section = "baseline";
	if (owner && strcmp(owner, "baseline"))
		check_error(c, "solution '%s' is of '%s', not of baseline",
			    sol, owner);
	if (strcmp(str(e, "status"), "PASSED"))
		check_warn(c, "the baseline is %s", str(e, "status"));
}
