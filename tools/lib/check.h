/*
 * check.h - what makes a dataset of FlashInfer-Bench right.
 *
 * Everything that flashinfer-bench's `validate` checks without a GPU, and
 * what it leaves out: blob dtype, monotone indptr, page numbers in range,
 * the truth of constraints, run()'s parameters, the name against the axes,
 * missing tags, duplicate uuids, index tensors marked random, paths that
 * leave the dataset, orphans.
 *
 * Findings are collected, never printed: {level: error|warning, section:
 * layout|definition|workload|solution|trace|baseline, definition, file,
 * line, message}. A function that checks an input returns true if the input
 * can be used further, whatever it found.
 */
#ifndef ONBOARD_CHECK_H
#define ONBOARD_CHECK_H

#include "safetensors.h"
#include "strmap.h"

/* Texts that were met, with the lines where. */
struct check_seen {
	struct strbuf text;		/* one after another, NUL between */
	struct { size_t at, line; } *v;
	size_t n;
};

/* The blob that was read last: the inputs of a workload share it. */
struct check_blob {
	char *path;
	struct safetensors st;
};

struct check {
	int dirfd;		/* of the dataset, open */
	const json_t *templates;	/* name patterns of the catalogue */
	struct check_blob *blob;	/* the caller's; for workloads */
	json_t *findings;	/* NULL until there is one */
	size_t errors, warnings;
	/* where the input at hand stands */
	const char *section, *definition, *file;
	size_t line;
	struct check_seen uuids;	/* of workloads */
	struct check_seen used_blobs;	/* paths below the dataset */
	struct check_seen covered;	/* workloads that a trace is of */
};

void check_release(struct check *c);
void check_blob_close(struct check_blob *b);
void check_error(struct check *c, const char *fmt, ...) PRINTF(2, 3);
void check_warn(struct check *c, const char *fmt, ...) PRINTF(2, 3);
void check_note(struct check_seen *s, const char *text, size_t line);
/* Borrowed until the next check_note(). */
const char *check_noted(const struct check_seen *s, size_t i);

/* d is a parsed definition; false when workloads cannot be held to it. */
bool check_definition(struct check *c, const struct jval *d, const char *op,
		      const char *stem);
/* The first error of a definition that is being made; NULL: there is none. */
char *check_made(const json_t *d, const char *op, const char *stem);
/* An input of a workload: its shape, and the values of an integer tensor. */
struct check_input {
	int ndim;
	int64_t shape[ST_MAX_DIMS];
	bool known_shape;
	int64_t *values;	/* the caller's, or NULL */
	size_t n;
};
/*
 * The index tensors and constraints alone; in the order of d's inputs. axis
 * tells the values of the workload's axes, below 0 for none.
 */
void check_values_of(struct check *c, const struct jval *d,
		     int64_t (*axis)(const void *data, const char *name),
		     const void *data, const struct check_input *in, size_t n);
void check_workload(struct check *c, const struct jval *line,
		    const struct jval *d);
void check_solution(struct check *c, const struct jval *s, const char *author,
		    const char *def, const char *stem);
/* solutions: from name to author */
void check_trace(struct check *c, const struct jval *line,
		 const struct strmap *solutions, const char *author);

#endif
