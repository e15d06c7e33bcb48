/*
 * base.h - what every file of onboard includes first.
 *
 * Exit codes (the same for every tool):
 *	EX_DONE 0	the artefact was written, or is up to date
 *	EX_REFUSED 1	an input was refused; the sentence says which and why
 *	EX_USAGE 2	wrong usage
 *	EX_AGAIN 75	temporary: network, lock, disk full; worth retrying
 *
 * Errors: files in lib/ return 0 or -1 and append ONE complete sentence to a
 * `struct strbuf *err`; they print nothing. Only main files call die().
 * Running out of memory and BUG() are the exceptions.
 *
 * Ownership words: `get` borrows, `dup` and `detach` give, `take` receives.
 */
#ifndef ONBOARD_BASE_H
#define ONBOARD_BASE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define EX_DONE 0
#define EX_REFUSED 1
#define EX_USAGE 2
#define EX_AGAIN 75

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NORETURN __attribute__((noreturn))
#define PRINTF(a, b) __attribute__((format(printf, a, b)))

/* Unbounded or locale-ridden calls are a compile error. */
#define BANNED(f) sorry_##f##_is_banned_in_onboard
#undef strcpy
#define strcpy(a, b) BANNED(strcpy)
#undef strcat
#define strcat(a, b) BANNED(strcat)
#undef sprintf
#define sprintf(...) BANNED(sprintf)
#undef strtok
#define strtok(a, b) BANNED(strtok)
#undef atoi
#define atoi(a) BANNED(atoi)
#undef gets
#define gets(a) BANNED(gets)
#undef system
#define system(a) BANNED(system)
#undef popen
#define popen(a, b) BANNED(popen)
#undef gmtime
#define gmtime(a) BANNED(gmtime)
#undef localtime
#define localtime(a) BANNED(localtime)

/* An impossible state: say where and abort. */
#define BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
void bug_at(const char *file, int line, const char *fmt, ...)
	NORETURN PRINTF(3, 4);

/* Never return NULL; out of memory ends the process with EX_AGAIN. */
void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
/*
 * Room for one more after the n elements of v, which grows by this alone (v is
 * NULL while n is 0): moved when n is 0, and doubled at powers of two from 8.
 */
void *xroom(void *v, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);

/* a + b and a * b that end the process instead of wrapping around. */
size_t st_add(size_t a, size_t b);
size_t st_mult(size_t a, size_t b);

#endif
