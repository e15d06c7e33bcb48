/*
 * proc.h - run another program and take what it says.
 *
 * argv[0] is looked up in PATH; no shell is involved. Standard input is
 * `in` (or empty), standard output goes to `out`, standard error to `errs`
 * (NULL: /dev/null for out, ours for errs). on_err, when given, is called
 * with each piece of standard error as it comes (git's progress).
 *
 * proc_run() returns the exit status, 128 + signal, or -1 with a sentence in
 * err if the program could not be started or an output passed its maximum.
 */
#ifndef ONBOARD_PROC_H
#define ONBOARD_PROC_H

#include "strbuf.h"

struct proc {
	const char *const *argv;
	const char *in;
	size_t in_len;
	struct strbuf *out, *errs;
	void (*on_err)(void *data, const char *text, size_t len);
	void *data;
};

int proc_run(struct proc *p, struct strbuf *err);

/* The process numbers of our main thread's children, with spaces between; empty: there are none. */
void proc_children(struct strbuf *sb);

/*
 * The path of what lies beside the running program: "dumpwl", "../eval". The
 * caller's to free.
 */
char *proc_beside(const char *name);

#endif
