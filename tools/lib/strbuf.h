/*
 * strbuf.h - a growing string.
 *
 * `buf` is never NULL and always ends in a NUL at buf[len]. A buffer that
 * takes foreign bytes is given a maximum (`max`, 0 for none): an addition
 * that would pass it is dropped whole and `overflow` is set; the reader
 * treats that as bad input.
 *
 *	struct strbuf sb = STRBUF_INIT;
 *	strbuf_addf(&sb, "%s:%d", file, line);
 *	char *s = strbuf_detach(&sb);		(the caller's to free)
 */
#ifndef ONBOARD_STRBUF_H
#define ONBOARD_STRBUF_H

#include "base.h"

struct strbuf {
	char *buf;
	size_t len, alloc, max;
	bool overflow;
};

extern char strbuf_slop[];
#define STRBUF_INIT { .buf = strbuf_slop }
#define STRBUF_INIT_MAX(m) { .buf = strbuf_slop, .max = (m) }

void strbuf_release(struct strbuf *sb);
void strbuf_reset(struct strbuf *sb);
char *strbuf_detach(struct strbuf *sb);
void strbuf_add(struct strbuf *sb, const void *data, size_t len);
void strbuf_addstr(struct strbuf *sb, const char *s);
void strbuf_addch(struct strbuf *sb, int c);
void strbuf_addf(struct strbuf *sb, const char *fmt, ...) PRINTF(2, 3);
void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap);
/* A formatted string of its own, the caller's to free. */
char *strbuf_text(const char *fmt, ...) PRINTF(1, 2);
void strbuf_rtrim(struct strbuf *sb);

/*
 * The shortest decimal form that reads back as the same double; the same
 * on every host. A whole number below 1e15 has no exponent.
 */
void strbuf_add_double(struct strbuf *sb, double d);

/* Read to end of file; -1 with a sentence in err. "-" is standard input. */
int strbuf_read_fd(struct strbuf *sb, int fd, const char *name,
		   struct strbuf *err);
int strbuf_read_file(struct strbuf *sb, const char *path, struct strbuf *err);

#endif
