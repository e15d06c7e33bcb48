/*
 * check_paths.h - the files of a dataset, read side by side. Each has findings
 * of its own, so that they can still be reported in order.
 */
#ifndef ONBOARD_CHECK_PATHS_H
#define ONBOARD_CHECK_PATHS_H

#include "check.h"

/* What a thread reads with; used again for every file. */
struct reader {
	struct jdoc doc, line;		/* a document; a line of another file */
	char *buf[2];			/* what they stand in */
	size_t size[2];
	struct check_blob blob;
};

/* A path below the dataset, cut at its slashes, and what is found there. */
struct path {
	char *full;		/* "solutions/A/OP/DEF/SOL.json" */
	char *part[6];
	int n;
	char *copy, *stem;
	struct check c;
	char *op_type;		/* of a definition that can be used */
	struct path *works;	/* of a definition: its workload files */
	struct path *next;	/* the next of those */
};

struct paths {
	const struct check *base;	/* dirfd and templates */
	struct path *v;
	size_t n;
};

/* A folder, its files by name, and why it could not be listed, or 0. */
struct folder {
	char *rel;
	char **files, **folders;
	size_t nfiles, nfolders;
	struct check c;
};

struct folders {
	const struct check *base;
	struct folder *v;	/* TOP, what is in it, what is in that, ... */
	size_t n;
};

/* All folders from TOP of the dataset on; links are not followed. */
void folders_list(struct folders *fs, const char *top);
void folders_each(struct folders *fs, void (*fn)(struct folder *f));
void folders_release(struct folders *fs);

/* All files below TOP. */
void paths_list(struct paths *ps, const char *top);
/* fn for each, on as many threads as there are processors. */
void paths_each(struct paths *ps, void (*fn)(struct path *p,
					     struct reader *r));
void paths_release(struct paths *ps);

/*
 * The file's bytes in r->buf[which], a NUL behind them, *n their number;
 * NULL with a sentence in err, also for what is larger than max.
 */
char *path_read(struct path *p, struct reader *r, int which, size_t max,
		size_t *n, struct strbuf *err);

#endif
