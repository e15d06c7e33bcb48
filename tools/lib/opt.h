/*
 * opt.h - options of a tool, declared as a table.
 *
 *	static const char *out = "-";
 *	static const struct option options[] = {
 *		OPT_STR('o', "output", &out, "FILE", "write here, - is stdout"),
 *		OPT_END
 *	};
 *	first = opt_parse(argc, argv, &(struct tool){ ... }, options);
 *
 * Every tool has --help, --version and --failed=FILE (see die.h) besides.
 * Options may stand before, between and after operands; "--" ends them.
 * opt_parse() moves the operands to the end of argv and returns the index of
 * the first; wrong usage ends the process with EX_USAGE.
 */
#ifndef ONBOARD_OPT_H
#define ONBOARD_OPT_H

#include "base.h"

enum opt_type { OPT_T_END, OPT_T_BOOL, OPT_T_STR, OPT_T_INT, OPT_T_LIST };

struct opt_list {
	const char **v;
	size_t n;
};

struct option {
	enum opt_type type;
	char letter;		/* 0: has no short form */
	const char *name;
	void *value;		/* bool, const char *, long, struct opt_list */
	const char *arg, *help;
};

#define OPT_BOOL(c, n, v, h) { OPT_T_BOOL, c, n, v, NULL, h }
#define OPT_STR(c, n, v, a, h) { OPT_T_STR, c, n, v, a, h }
#define OPT_INT(c, n, v, a, h) { OPT_T_INT, c, n, v, a, h }
#define OPT_LIST(c, n, v, a, h) { OPT_T_LIST, c, n, v, a, h }
#define OPT_END { OPT_T_END, 0, NULL, NULL, NULL, NULL }

struct tool {
	const char *synopsis;	/* after the name, "[-o FILE] CONFIG" */
	const char *purpose;	/* a sentence */
	const char *reads;
	const char *writes;
};

int opt_parse(int argc, char **argv, const struct tool *tool,
	      const struct option *options);
/* Ends with EX_USAGE and a pointer to --help. */
void opt_usage(const char *fmt, ...) NORETURN PRINTF(1, 2);

#endif
