/*
 * engine.h - the command line and the environment of a serving engine.
 *
 * The server's own words, then what SGLang's launch_server takes: --model-path,
 * --host, --port, the session's arguments, --max-total-tokens (a level-10
 * dump has the whole KV cache of its layer: the cache decides how much is
 * written) and --mem-fraction-static. FlashInfer's variables of our own
 * environment are not passed on.
 */
#ifndef ONBOARD_ENGINE_H
#define ONBOARD_ENGINE_H

#include "json.h"

struct engine {
	const char *server;	/* words, separated by spaces */
	const char *model, *dir;
	const json_t *session;	/* of sessions.json: args, env */
	bool trace_only;	/* definitions, no dumps */
	int port;
	long slots;		/* tokens of the KV cache */
	double memory;		/* --mem-fraction-static; 0: its own */
	const int *gpus;
	size_t ngpus;
};

/* Arrays of strings, the caller's to json_decref(). */
json_t *engine_command(const struct engine *e);
json_t *engine_environment(const struct engine *e);

#endif
