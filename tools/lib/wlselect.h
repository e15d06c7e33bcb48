/*
 * wlselect.h - which of many workloads to keep, and the file they go to.
 *
 * All candidates count, at most two of equal axes. First come the smallest
 * and the largest of every var axis, then whatever is farthest from those
 * chosen (differences relative to the larger value, summed over the axes).
 * Ties go by uuid, which is of the content, so the order of the calls does
 * not show.
 */
#ifndef ONBOARD_WLSELECT_H
#define ONBOARD_WLSELECT_H

#include "dumpmap.h"

struct wl_candidate {
	json_t *axes;
	char uuid[UUID_LEN];
	char *root, *folder, *plan;	/* where it came from */
	struct workload *held;		/* itself, or NULL: read it again */
	bool chosen;
};

struct wl_candidates {
	struct wl_candidate *v;
	size_t n, alloc;
	json_t *by_axes;		/* axes as text -> [uuid] */
	size_t held;			/* bytes of those that are held */
};

/* Takes the workload, whose content is not the caller's any more. */
void wl_add(struct wl_candidates *c, struct workload *w,
	    const char *root, const char *folder, const char *plan);
/* Marks at most max as chosen; returns how many. */
size_t wl_choose(struct wl_candidates *c, size_t max);
/* {AXIS: {min, max, distinct}} of all that were added; a new reference. */
json_t *wl_ranges(const struct wl_candidates *c);

struct wl_place {
	const struct dumpmap *map;
	const char *op, *name, *root;	/* ROOT/workloads/OP/NAME.jsonl */
	size_t max;
	bool replace;
};

struct wl_result {
	size_t selected, added, entries;
	const char *kept;	/* why the file was not exchanged, or NULL */
};

/*
 * Adds the chosen ones to the file, those that it has already left out; with
 * replace exchanges it, unless the new one would be empty or have fewer.
 * Blobs are written first. 0, or -1 with a sentence and the file as it was.
 */
int wl_write(struct wl_candidates *c, const struct wl_place *p,
	     struct wl_result *r, struct strbuf *err);

#endif
