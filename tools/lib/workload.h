/*
 * workload.h - a workload: sizes of the var axes, and for each input what it
 * is made of: random floats, a scalar, or integers that were recorded.
 */
#ifndef ONBOARD_WORKLOAD_H
#define ONBOARD_WORKLOAD_H

#include "check.h"

#define UUID_LEN 37

struct workload {
	json_t *axes;		/* var axes, in the definition's order */
	char uuid[UUID_LEN];	/* of the content */
	struct {
		const char *name, *dtype;	/* borrowed */
		const json_t *spec;
		bool scalar, random, whole;
		double number;
		struct check_input in;
	} input[64];
	size_t n;
};

/* The place of an input of that name; -1: there is none. */
int workload_input(const struct workload *w, const char *name);
/* Sets the uuid: the same content has the same one, on any host. */
void workload_name(struct workload *w, const char *definition);
void workload_release(struct workload *w);
/*
 * The line of the JSONL file, the caller's to json_decref(), and into blob
 * the bytes of its safetensors file (none when no input needs one); path is
 * where that will lie, "./blob/...".
 */
json_t *workload_line(const struct workload *w, const char *definition,
		      const char *path, struct strbuf *blob);

#endif
