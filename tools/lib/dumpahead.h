/*
 * dumpahead.h - calls opened ahead of the reader, in their order, by other
 * threads. At most a few dozen are open at a time.
 */
#ifndef ONBOARD_DUMPAHEAD_H
#define ONBOARD_DUMPAHEAD_H

#include "dump.h"

struct dump_ahead;

/* folders stays the caller's, and there until dump_ahead_end(). */
struct dump_ahead *dump_ahead_start(int dirfd, const char *const *folders,
				    size_t n);
/* The next call, as dump_open() would give it; n times, in order. */
int dump_ahead_next(struct dump_ahead *a, struct dump *d,
		    struct strbuf *err);
/* Instead of dump_close(): memory goes back to the thread that it is from. */
void dump_ahead_drop(struct dump_ahead *a, struct dump *d);
/* All must have been taken and dropped. */
void dump_ahead_end(struct dump_ahead *a);

#endif
