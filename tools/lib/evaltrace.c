#include "evaltrace.h"
#include "outfile.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

static char *key_of(const char *uuid, const char *solution)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "%s %s", uuid, solution);
	return strbuf_detach(&sb);
}

static void keep(struct eval_traces *t, json_t *line)
{
	const char *uuid = json_get_str(json_object_get(line, "workload"), "uuid");
	const char *solution = json_get_str(line, "solution");
	char *key;

	if (uuid && solution) {
		key = key_of(uuid, solution);
		json_object_set(t->lines, key, line);
		free(key);
	}
	json_decref(line);
}

/* torn: the last line may be one that a killed run did not finish. */
static int read_lines(struct eval_traces *t, const char *path, bool torn,
		      struct strbuf *err)
{
	struct strbuf sb = STRBUF_INIT;
	char *at, *nl;
	json_t *line;
	int ret = 0;

	if (access(path, F_OK))
		return 0;
	if (strbuf_read_file(&sb, path, err)) {
		strbuf_release(&sb);
		return -1;
	}
	for (at = sb.buf; *at && !ret; at = nl + (*nl == '\n')) {
		nl = at + strcspn(at, "\n");
		if (!*nl && torn)
			break;
		if (nl == at)
			continue;
		line = json_parse(at, (size_t)(nl - at), path, err);
		if (line)
			keep(t, line);
		else
			ret = -1;
	}
	strbuf_release(&sb);
	return ret;
}

int eval_traces_open(struct eval_traces *t, const char *path,
		     const char *journal, struct strbuf *err)
{
	*t = (struct eval_traces){ .path = xstrdup(path),
		.journal = xstrdup(journal), .lines = json_object(), .fd = -1 };
	if (read_lines(t, path, false, err))
		return -1;
	if (!access(journal, F_OK))
		t->added = 1;	/* it has to get into the file */
	return read_lines(t, journal, true, err);
}

const json_t *eval_traces_get(const struct eval_traces *t, const char *uuid,
			      const char *solution)
{
	char *key = key_of(uuid, solution);
	const json_t *line = json_object_get(t->lines, key);

	free(key);
	return line;
}

int eval_traces_add(struct eval_traces *t, json_t *line, struct strbuf *err)
{
	char *text = json_dumps(line, JSON_COMPACT);
	size_t len = strlen(text);
	bool ok;

	if (t->fd < 0) {
		if (!outfile_mkdirs(t->journal, err))
			t->fd = open(t->journal, O_WRONLY | O_CREAT | O_APPEND |
				     O_CLOEXEC, 0666);
		/* behind a line that was not finished */
		if (t->fd >= 0 && t->added && write(t->fd, "\n", 1) != 1)
			t->fd = -1;
	}
	text[len] = '\n';
	ok = t->fd >= 0 && write(t->fd, text, len + 1) == (ssize_t)len + 1;
	if (!ok && !err->len)
		strbuf_addf(err, "%s: %s", t->journal, strerror(errno));
	free(text);
	keep(t, line);
	t->added++;
	return ok ? 0 : -1;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Keys "RANK UUID SOLUTION": in byte order they are in the file's order. */
static char **ordered(const struct eval_traces *t, const json_t *workloads)
{
	size_t n = json_object_size(t->lines), i = 0, rank;
	char **keys = xcalloc(n + 1, sizeof *keys);
	json_t *ranks = json_object(), *w, *v;
	const char *key;

	json_array_foreach((json_t *)workloads, rank, w)
		if (json_get_str(w, "uuid"))
			json_object_set_new(ranks, json_get_str(w, "uuid"),
					    json_integer((json_int_t)rank));
	json_object_foreach(t->lines, key, v) {
		const char *uuid = json_get_str(json_object_get(v, "workload"), "uuid");
		struct strbuf sb = STRBUF_INIT;

		w = json_object_get(ranks, uuid);
		strbuf_addf(&sb, "%012llu %s", w ? (unsigned long long)
			    json_integer_value(w) : 999999999999ull, key);
		keys[i++] = strbuf_detach(&sb);
	}
	qsort(keys, n, sizeof *keys, by_key);
	json_decref(ranks);
	return keys;
}

int eval_traces_save(struct eval_traces *t, const json_t *workloads,
		     struct strbuf *err)
{
	struct strbuf sb = STRBUF_INIT;
	char **keys, **k, *text;
	int ret;

	if (!t->added)
		return 0;
	keys = ordered(t, workloads);
	for (k = keys; *k; k++) {
		text = json_dumps(json_object_get(t->lines, *k + 13),
				  JSON_COMPACT);
		strbuf_addf(&sb, "%s\n", text);
		free(text);
		free(*k);
	}
	free(keys);
	ret = outfile_write(t->path, sb.buf, sb.len, err);
	strbuf_release(&sb);
	if (ret)
		return -1;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	unlink(t->journal);
	t->added = 0;
	return 0;
}

void eval_traces_release(struct eval_traces *t)
{
	if (t->fd >= 0)
		close(t->fd);
	json_decref(t->lines);
	free(t->path);
	free(t->journal);
}

static json_t *versions(const json_t *hello, const char *digest)
{
	json_t *libs = json_object(), *v;
	const char *key;

	json_object_foreach((json_t *)hello, key, v)
		if (json_is_string(v) && strcmp(key, "device"))
			json_object_set(libs, key, v);
	json_object_set_new(libs, "solution_sha256", json_string(digest));
	return libs;
}

static json_t *or_zero(const json_t *v)
{
	return v ? json_incref((json_t *)v) : json_real(0);
}

json_t *eval_trace(const char *definition, const json_t *workload,
		   const char *solution, const char *digest,
		   const json_t *answer, const json_t *hello,
		   double reference_ms)
{
	static const char *const extras[] = { "matched_ratio", "tvd", "forbidden",
		"draws", "timing" };
	const char *status = json_get_str(answer, "status");
	const char *log = json_get_str(answer, "log");
	json_t *ms = json_object_get(answer, "latency_ms"), *e, *extra;
	bool passed = !strcmp(status, "PASSED");
	char when[40];
	time_t t = time(NULL);
	struct tm tm;
	size_t i;

	gmtime_r(&t, &tm);
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
	e = json_pack("{s:s, s:{s:s, s:o}, s:s, s:s}", "status", status,
		      "environment", "hardware", json_get_str(hello, "device") ?
		      json_get_str(hello, "device") : "unknown", "libs",
		      versions(hello, digest), "timestamp", when, "log",
		      log ? log : "");
	if (passed || !strcmp(status, "INCORRECT_NUMERICAL")) {
		extra = json_object();
		for (i = 0; i < ARRAY_SIZE(extras); i++)
			if (json_object_get(answer, extras[i]))
				json_object_set(extra, extras[i],
						json_object_get(answer, extras[i]));
		json_object_set_new(e, "correctness", json_pack("{s:o, s:o, s:o}",
			"max_relative_error", or_zero(json_object_get(answer, "max_rel")),
			"max_absolute_error", or_zero(json_object_get(answer, "max_abs")),
			"extra", extra));
	} else {
		json_object_set_new(e, "correctness", json_null());
	}
	if (passed)
		json_object_set_new(e, "performance", json_pack("{s:f, s:f, s:f}",
			"latency_ms", json_number_value(ms),
			"reference_latency_ms", reference_ms, "speedup_factor",
			json_number_value(ms) > 0 ? reference_ms /
			json_number_value(ms) : 0.0));
	else
		json_object_set_new(e, "performance", json_null());
	return json_pack("{s:s, s:O, s:s, s:o}", "definition", definition,
			 "workload", workload, "solution", solution,
			 "evaluation", e);
}

const char *eval_trace_digest(const json_t *line)
{
	return json_get_str(json_object_get(json_object_get(json_object_get(line,
			"evaluation"), "environment"), "libs"), "solution_sha256");
}
