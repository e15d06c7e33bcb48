#include "engine.h"

static void add(json_t *words, const char *fmt, ...) PRINTF(2, 3);
static void add(json_t *words, const char *fmt, ...)
{
	struct strbuf sb = STRBUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(&sb, fmt, ap);
	va_end(ap);
	json_array_append_new(words, json_string(sb.buf));
	strbuf_release(&sb);
}

json_t *engine_command(const struct engine *e)
{
	json_t *words = json_array(), *v;
	char *copy = xstrdup(e->server), *save, *w;
	size_t i;

	for (w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		add(words, "%s", w);
	free(copy);
	add(words, "--model-path");
	add(words, "%s", e->model);
	add(words, "--host");
	add(words, "127.0.0.1");
	add(words, "--port");
	add(words, "%d", e->port);
	json_array_foreach(json_object_get(e->session, "args"), i, v)
		json_array_append(words, v);
	add(words, "--max-total-tokens");
	add(words, "%ld", e->slots);
	if (e->memory > 0) {
		add(words, "--mem-fraction-static");
		add(words, "%.2f", e->memory);
	}
	return words;
}

static bool is_ours(const char *variable)
{
	return !strncmp(variable, "FLASHINFER_", 11) ||
		!strncmp(variable, "CUDA_VISIBLE_DEVICES=", 21);
}

json_t *engine_environment(const struct engine *e)
{
	json_t *env = json_array(), *v;
	struct strbuf gpus = STRBUF_INIT;
	char *real = realpath(e->dir, NULL), **s;
	const char *key, *dir = real ? real : e->dir;
	size_t i;

	for (s = environ; *s; s++)
		if (!is_ours(*s) ||
		    !strncmp(*s, "FLASHINFER_WORKSPACE_BASE=", 26))
			json_array_append_new(env, json_string(*s));
	json_object_foreach(json_object_get(e->session, "env"), key, v)
		if (!e->trace_only)
			add(env, "%s=%s", key, json_string_value(v));
	if (e->trace_only)
		add(env, "FLASHINFER_TRACE_DUMP=1");
	for (i = 0; i < e->ngpus; i++)
		strbuf_addf(&gpus, "%s%d", i ? "," : "", e->gpus[i]);
	add(env, "CUDA_VISIBLE_DEVICES=%s", gpus.buf);
	add(env, "FLASHINFER_DUMP_DIR=%s/dumps", dir);
	add(env, "FLASHINFER_TRACE_DUMP_DIR=%s/trace", dir);
	/* both count what was ever written; the disk is ours to watch */
	add(env, "FLASHINFER_DUMP_MAX_COUNT=1000000000");
	add(env, "FLASHINFER_DUMP_MAX_SIZE_GB=1000000000");
	free(real);
	strbuf_release(&gpus);
	return env;
}
