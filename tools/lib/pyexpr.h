/*
 * pyexpr.h - constraints of a Definition, evaluated.
 *
 * The grammar is what constraints of the field use, complete in itself:
 * numbers, names, parentheses, + - * / // % **, unary + and -, comparisons
 * (chained), and, or, not, x.shape[i], x[i], x[i].item(), x.item(), len(x),
 * min and max of numbers. Names are axes (numbers) or inputs (tensors).
 * Anything else is refused with a message that says what.
 *
 * Values of a tensor may be unknown (it is random): what depends on them is
 * PYEXPR_UNKNOWN, which is no finding.
 */
#ifndef ONBOARD_PYEXPR_H
#define ONBOARD_PYEXPR_H

#include "strbuf.h"

enum pyexpr_result { PYEXPR_FALSE, PYEXPR_TRUE, PYEXPR_UNKNOWN, PYEXPR_BAD };

struct pyexpr_tensor {
	int ndim;
	const int64_t *shape;	/* NULL: not known */
	const int64_t *values;	/* NULL: not known; row-major */
	size_t n;
};

struct pyexpr_env {
	void *data;
	/* True when it is an axis; *known false when it has no value here. */
	bool (*axis)(void *data, const char *name, bool *known, double *value);
	bool (*tensor)(void *data, const char *name, struct pyexpr_tensor *t);
};

/* PYEXPR_BAD appends a sentence to err. */
enum pyexpr_result pyexpr_eval(const char *text, const struct pyexpr_env *env,
			       struct strbuf *err);

#endif
