/*
 * pyscan.h - what a Python file defines, imports and calls.
 *
 * One pass over the tokens (pytok.h), no syntax tree:
 *
 *   definitions	every def, async def and class, at any depth, with its
 *			qualified name ("Wrapper.run"), the line of the
 *			keyword and the decorators before it;
 *   imports		every name that an import statement binds, wherever it
 *			stands (in a function, under try or if);
 *   chains		every dotted name that is used, `a.b.c`, and whether
 *			it is called. A chain whose root is no plain name
 *			(`f().x(`, `v[0].x(`) is `unknown`: only the last
 *			part is told. A call of something without a name
 *			(`f()()`) has an empty text.
 *
 * Calls inside the replacement fields of f-strings count, with the line on
 * which the string begins. Strings, comments, keyword names in calls,
 * assignment targets and patterns of `case` do not.
 *
 * All slices point into the source given to pyscan_init(), which must
 * outlive the struct. A file that cannot be tokenized is read up to the
 * offending place and has `broken` set to its line.
 */
#ifndef ONBOARD_PYSCAN_H
#define ONBOARD_PYSCAN_H

#include "strbuf.h"

struct py_slice {
	const char *s;
	uint32_t len;
};

struct py_decorator {
	struct py_slice name;	/* dotted, as it stands; "" for an expression */
	uint32_t line;
	bool called, has_trace;	/* a keyword argument trace= */
	struct py_slice trace;	/* its value, as it stands */
};

struct py_def {
	char kind;		/* 'f', 'a' (async) or 'c' */
	char *qualname;
	uint32_t line;
	uint32_t depth;		/* 0 at the top of the module */
	uint32_t dec, ndec;	/* decorators[dec .. dec + ndec) */
};

struct py_import {
	uint32_t line, level;	/* leading dots */
	struct py_slice module;	/* may hold blanks: see pyscan_dotted */
	struct py_slice name;	/* len 0 for `import module`; "*" */
	struct py_slice as;	/* the name that is bound, "" for plain import */
	bool top;		/* not inside a def or class */
};

struct py_chain {
	struct py_slice text;
	uint32_t line;		/* of the last part */
	bool call, unknown;
};

struct pyscan {
	struct py_def *defs;
	struct py_decorator *decorators;
	struct py_import *imports;
	struct py_chain *chains;
	struct py_slice *entry;	/* names assigned to EntryClass */
	size_t ndefs, ndecorators, nimports, nchains, nentry;
	uint32_t entry_line, broken;
};

void pyscan_init(struct pyscan *ps, const char *s, size_t len);
void pyscan_release(struct pyscan *ps);
/* Appends the slice without blanks, comments and line ends: "a.b.c". */
void pyscan_dotted(struct strbuf *sb, struct py_slice s);

#endif
