/*
 * check_paths.h - the files of a dataset's folder, each with findings of its
 * own, so that they can be read side by side and still be reported in order.
 */
#ifndef ONBOARD_CHECK_PATHS_H
#define ONBOARD_CHECK_PATHS_H

#include "check.h"

/* A path below the dataset, cut at its slashes, and what is found there. */
struct path {
	char *full;		/* "solutions/A/OP/DEF/SOL.json" */
	char *part[6];
	int n;
	char *copy, *stem;
	struct check c;		/* its own findings: files are read side by side */
	json_t *d;		/* of a definition that can be used */
};

struct paths {
	const struct check *base;	/* dataset, dirfd and templates */
	struct path *v;			/* by name */
	size_t n, alloc;
};

/* All files below FOLDER of the dataset; links are not followed. */
void paths_list(struct paths *ps, const char *folder);
/* fn for each, on as many threads as there are processors. */
void paths_each(struct paths *ps, void (*fn)(struct path *p));
void paths_release(struct paths *ps);

#endif
