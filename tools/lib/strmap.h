/*
 * strmap.h - from texts to pointers, where a JSON object would be too slow.
 * Keys are borrowed and must outlive the map; values are never NULL.
 */
#ifndef ONBOARD_STRMAP_H
#define ONBOARD_STRMAP_H

#include "base.h"

struct strmap {
	struct { const char *key; void *value; } *v;
	size_t n, alloc;		/* a power of two, or 0 */
};

#define STRMAP_INIT { NULL, 0, 0 }

void *strmap_get(const struct strmap *m, const char *key);
/* What was there before is returned and replaced. */
void *strmap_set(struct strmap *m, const char *key, void *value);
void strmap_release(struct strmap *m);

#endif
