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

struct check {
	const char *dataset;
	int dirfd;		/* of the dataset, open */
	const char *kernels;	/* the catalogue, for names; or NULL */
	json_t *findings;	/* these four are NULL until there is one */
	size_t errors, warnings;
	/* where the input at hand stands */
	const char *section, *definition, *file;
	size_t line;
	json_t *uuids;		/* met here: [{uuid, line}] */
	json_t *used_blobs;	/* met here: [path below the dataset] */
	json_t *covered;	/* workloads that a trace is of: {uuid: true} */
	json_t *templates;	/* of the catalogue, loaded once */
	char *blob_path;	/* the blob read last; its inputs share it */
	struct safetensors blob;
};

/* Drops findings, uuids, used_blobs and covered, and closes the blob. */
void check_release(struct check *c);
void check_error(struct check *c, const char *fmt, ...) PRINTF(2, 3);
void check_warn(struct check *c, const char *fmt, ...) PRINTF(2, 3);

/* d is a parsed definition; false when workloads cannot be held to it. */
bool check_definition(struct check *c, const json_t *d, const char *op,
		      const char *stem);
/* An input of a workload: its shape, and the values of an integer tensor. */
struct check_input {
	int ndim;
	int64_t shape[ST_MAX_DIMS];
	bool known_shape;
	int64_t *values;	/* the caller's, or NULL */
	size_t n;
};
/* The index tensors and constraints alone; in the order of d's inputs. */
void check_values_of(struct check *c, const json_t *d, const json_t *axes,
		     struct check_input *in, size_t n);
void check_workload(struct check *c, const json_t *line, const json_t *d);
void check_solution(struct check *c, const json_t *s, const char *author,
		    const char *op, const char *def, const char *stem,
		    const json_t *definitions);
/* solutions: name -> author */
void check_trace(struct check *c, const json_t *line, const json_t *solutions,
		 const char *author);

#endif
