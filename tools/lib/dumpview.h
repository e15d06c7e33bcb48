/*
 * dumpview.h - the ways in which engines pass the tensor that a definition
 * declares: as it is; a KV cache of page size 1 without the page axis; head
 * first (HND); the last two dimensions as one; pages and their tokens as one.
 */
#ifndef ONBOARD_DUMPVIEW_H
#define ONBOARD_DUMPVIEW_H

#include "safetensors.h"

#define DUMP_VIEWS 5

/* The value of a const axis, -1 for others. */
json_int_t dump_const(const json_t *def, const char *axis);
/* Changes t's shape to what it is seen that way; false if it cannot be. */
bool dump_view(const json_t *def, const json_t *shape, int way,
	       struct st_tensor *t);
/* Raw bytes stand for pairs of fp4 and for exponents. */
bool dump_same_dtype(const char *have, const char *want);
bool dump_whole_dtype(const char *dtype);

#endif
