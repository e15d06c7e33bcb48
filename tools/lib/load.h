/*
 * load.h - requests to a serving engine, many at a time (libcurl multi).
 *
 * A load is a number of requests kept `batch` at a time: token ids from a fixed
 * sequence of pseudo-random numbers (the same on every run), part of
 * them one of a few prefixes that requests share, output lengths forced
 * (ignore_eos). The engine speaks SGLang's native API: POST /generate {input_ids,
 * sampling_params}. Only loopback and plain HTTP are spoken to.
 */
#ifndef ONBOARD_LOAD_H
#define ONBOARD_LOAD_H

#include "strbuf.h"

struct load {
	int batch, requests;
	int input, output;	/* tokens; the longest of the load */
	int vocab;		/* ids are below */
	int prefixes;		/* shared ones; 0: none */
	const char *sampling;	/* members of sampling_params, or "" */
	const int (*lengths)[2];/* real (input, output) pairs, or NULL */
	size_t nlengths;
};

struct load_run;

struct load_state {
	int sent, done, failed, open;
	long status;		/* of the first failure; 0: no answer */
	char why[400];		/* what it said */
};

/* port on 127.0.0.1; timeout for one request, in seconds. Never NULL. */
struct load_run *load_start(const struct load *l, int port, int timeout);
/* Goes on for at most that many milliseconds; 1: all is answered. */
int load_step(struct load_run *r, int ms);
void load_state(const struct load_run *r, struct load_state *s);
/* Requests that are open are dropped. */
void load_end(struct load_run *r);

/*
 * Real lengths from a file, "INPUT OUTPUT" in tokens a line; *v is the caller's
 * to free(). -1 with a sentence.
 */
int load_lengths(const char *path, int (**v)[2], size_t *n,
		 struct strbuf *err);

/* GET of a path: the status, or 0 when nobody answered in 5 seconds. */
long load_get(int port, const char *path);
/* A TCP port of 127.0.0.1 that nobody listens on; -1. */
int load_free_port(void);

#endif
