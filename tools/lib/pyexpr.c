#include "pyexpr.h"
#include "pytok.h"

#include <math.h>

enum kind { NUMBER, UNKNOWN, TENSOR, SHAPE };

struct value {
	enum kind kind;
	double num;
	struct pyexpr_tensor t;
};

struct eval {
	struct pytok tz;
	struct py_token tok;
	const struct pyexpr_env *env;
	struct strbuf *err;
	bool bad;
	int depth;
};

static struct value any(struct eval *e);

static void next(struct eval *e)
{
	pytok_next(&e->tz, &e->tok);
}

static struct value number(double d)
{
	return (struct value){ .kind = NUMBER, .num = d };
}

static const struct value unknown = { .kind = UNKNOWN };

static struct value refuse(struct eval *e, const char *fmt, ...)
	PRINTF(2, 3);

static struct value refuse(struct eval *e, const char *fmt, ...)
{
	va_list ap;

	if (!e->bad) {
		va_start(ap, fmt);
		strbuf_vaddf(e->err, fmt, ap);
		va_end(ap);
	}
	e->bad = true;
	return unknown;
}

static bool is(const struct eval *e, const char *s)
{
	return (e->tok.kind == PY_OP || e->tok.kind == PY_NAME) &&
		py_is(&e->tok, s);
}

static bool take(struct eval *e, const char *s)
{
	if (e->bad || !is(e, s))
		return false;
	next(e);
	return true;
}

static void want(struct eval *e, const char *s)
{
	if (!take(e, s))
		refuse(e, "'%s' is expected at '%.*s'", s, (int)e->tok.len,
		       e->tok.s);
}

static struct value as_number(struct eval *e, struct value v)
{
	if (v.kind == NUMBER || v.kind == UNKNOWN)
		return v;
	/* a tensor of one element is its value, as torch has it */
	if (v.kind == TENSOR && v.t.values && v.t.n == 1)
		return number((double)v.t.values[0]);
	if (v.kind == TENSOR && !v.t.values)
		return unknown;
	return refuse(e, "a tensor stands where a number is needed");
}

static struct value function(struct eval *e, const char *name)
{
	struct value a, b;

	next(e);
	a = any(e);
	if (!strcmp(name, "len")) {
		want(e, ")");
		if (a.kind == UNKNOWN)
			return a;
		if (a.kind != TENSOR || a.t.ndim < 1)
			return refuse(e, "len() of something that has none");
		return a.t.shape ? number((double)a.t.shape[0]) : unknown;
	}
	a = as_number(e, a);
	while (take(e, ",")) {
		b = as_number(e, any(e));
		if (a.kind == UNKNOWN || b.kind == UNKNOWN)
			a = unknown;
		else if (!strcmp(name, "min") == (b.num < a.num))
			a = b;
	}
	want(e, ")");
	return a;
}

static struct value name(struct eval *e)
{
	char *s = xstrndup(e->tok.s, e->tok.len);
	struct value v = { .kind = TENSOR };
	bool known = false;

	next(e);
	if (!strcmp(s, "True") || !strcmp(s, "False"))
		v = number(s[0] == 'T');
	else if (is(e, "(") && (!strcmp(s, "len") || !strcmp(s, "min") ||
				!strcmp(s, "max")))
		v = function(e, s);
	else if (e->env->axis(e->env->data, s, &known, &v.num))
		v.kind = known ? NUMBER : UNKNOWN;
	else if (!e->env->tensor(e->env->data, s, &v.t))
		v = refuse(e, "'%s' is neither an axis nor an input", s);
	free(s);
	return v;
}

static struct value index_of(struct eval *e, struct value v)
{
	struct value i = as_number(e, any(e)), r = unknown;
	int64_t n, k, row;

	want(e, "]");
	if (e->bad)
		return unknown;
	if (v.kind == UNKNOWN || i.kind == UNKNOWN)
		return unknown;
	if (v.kind != TENSOR && v.kind != SHAPE)
		return refuse(e, "a number cannot be indexed");
	if (!v.t.shape)
		return unknown;
	/* also what is no number at all */
	if (!(fabs(i.num) < 1e15))
		return refuse(e, "an index is no whole number");
	n = v.kind == SHAPE ? v.t.ndim : v.t.ndim ? v.t.shape[0] : 0;
	k = (int64_t)i.num;
	k = k < 0 ? k + n : k;
	if (k < 0 || k >= n)
		return refuse(e, "index %lld is outside of %lld",
			      (long long)i.num, (long long)n);
	if (v.kind == SHAPE)
		return number((double)v.t.shape[k]);
	r = v;
	r.t.ndim--;
	r.t.shape++;
	row = n ? (int64_t)v.t.n / n : 0;
	r.t.n = (size_t)row;
	r.t.values = v.t.values ? v.t.values + k * row : NULL;
	return r;
}

static struct value postfix(struct eval *e)
{
	struct value v;

	if (take(e, "(")) {
		v = any(e);
		want(e, ")");
	} else if (e->tok.kind == PY_NUMBER) {
		char *s = xstrndup(e->tok.s, e->tok.len), *end;

		v = number(strtod(s, &end));
		if (*end)
			refuse(e, "'%s' is no number that is understood", s);
		free(s);
		next(e);
	} else if (e->tok.kind == PY_NAME && (!py_keyword(&e->tok) ||
		   is(e, "True") || is(e, "False"))) {
		v = name(e);
	} else {
		return refuse(e, "'%.*s' is not understood",
			      (int)e->tok.len, e->tok.s);
	}
	while (!e->bad) {
		if (take(e, "[")) {
			v = index_of(e, v);
		} else if (take(e, ".")) {
			if (is(e, "shape") && (v.kind == TENSOR ||
					       v.kind == UNKNOWN)) {
				v.kind = v.kind == TENSOR ? SHAPE : UNKNOWN;
				next(e);
			} else if (take(e, "item")) {
				want(e, "(");
				want(e, ")");
				v = as_number(e, v);
			} else {
				return refuse(e, "'.%.*s' is not understood",
					      (int)e->tok.len, e->tok.s);
			}
		} else {
			break;
		}
	}
	return v;
}

static struct value unary(struct eval *e);

static struct value power(struct eval *e)
{
	struct value a = postfix(e), b;

	if (!take(e, "**"))
		return a;
	a = as_number(e, a);
	b = as_number(e, unary(e));
	return a.kind == UNKNOWN || b.kind == UNKNOWN ? unknown
		: number(pow(a.num, b.num));
}

static struct value unary(struct eval *e)
{
	struct value v;

	if (++e->depth > 100) {
		refuse(e, "it is nested too deeply");
		return unknown;
	}
	if (take(e, "-")) {
		v = as_number(e, unary(e));
		v.num = -v.num;
	} else if (take(e, "+")) {
		v = as_number(e, unary(e));
	} else {
		v = power(e);
	}
	e->depth--;
	return v;
}

static struct value apply(struct eval *e, const char *op, struct value a,
			  struct value b)
{
	a = as_number(e, a);
	b = as_number(e, b);
	if (a.kind == UNKNOWN || b.kind == UNKNOWN)
		return unknown;
	if (strchr("/%", op[0]) && b.num == 0)
		return refuse(e, "it divides by zero");
	if (!strcmp(op, "+"))
		return number(a.num + b.num);
	if (!strcmp(op, "-"))
		return number(a.num - b.num);
	if (!strcmp(op, "*"))
		return number(a.num * b.num);
	if (!strcmp(op, "/"))
		return number(a.num / b.num);
	if (!strcmp(op, "//"))
		return number(floor(a.num / b.num));
	return number(a.num - b.num * floor(a.num / b.num));
}

static struct value binary(struct eval *e, bool product)
{
	static const char *const ops[2][4] = { { "+", "-", NULL, NULL },
					       { "*", "//", "/", "%" } };
	struct value v = product ? unary(e) : binary(e, true);
	int i;

	for (i = 0; i < 4 && !e->bad; i++) {
		const char *op = ops[product][i];

		if (op && take(e, op)) {
			v = apply(e, op, v, product ? unary(e)
						    : binary(e, true));
			i = -1;
		}
	}
	return v;
}

static struct value comparison(struct eval *e)
{
	static const char *const ops[] = { "==", "!=", "<=", ">=", "<", ">" };
	struct value a = binary(e, false), r = number(1), b;
	bool any_op = false;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ops) && !e->bad; i++) {
		bool t;

		if (!take(e, ops[i]))
			continue;
		any_op = true;
		a = as_number(e, a);
		b = as_number(e, binary(e, false));
		t = i == 0 ? a.num == b.num : i == 1 ? a.num != b.num :
			i == 2 ? a.num <= b.num : i == 3 ? a.num >= b.num :
			i == 4 ? a.num < b.num : a.num > b.num;
		if (a.kind == UNKNOWN || b.kind == UNKNOWN)
			r = r.kind == NUMBER && !r.num ? r : unknown;
		else if (!t)
			r = number(0);
		a = b;
		i = (size_t)-1;
	}
	return any_op ? r : a;
}

static struct value negation(struct eval *e)
{
	struct value v;

	if (++e->depth > 100)
		return refuse(e, "it is nested too deeply");
	if (take(e, "not")) {
		v = as_number(e, negation(e));
		v.num = !v.num;
	} else {
		v = comparison(e);
	}
	e->depth--;
	return v;
}

static struct value logic(struct eval *e, bool conj)
{
	struct value v = conj ? negation(e) : logic(e, true), b;

	while (take(e, conj ? "and" : "or")) {
		v = as_number(e, v);
		b = as_number(e, conj ? negation(e) : logic(e, true));
		/* one that is false decides an `and`, known or not */
		if (v.kind == NUMBER && !v.num == conj)
			continue;
		if (b.kind == NUMBER && !b.num == conj)
			v = b;
		else if (v.kind == UNKNOWN || b.kind == UNKNOWN)
			v = unknown;
		else
			v = b;
	}
	return v;
}

static struct value any(struct eval *e)
{
	return logic(e, false);
}

enum pyexpr_result pyexpr_eval(const char *text, const struct pyexpr_env *env,
			       struct strbuf *err)
{
	struct eval e = { .env = env, .err = err };
	struct value v;

	pytok_init_expr(&e.tz, text, strlen(text), 1);
	next(&e);
	v = as_number(&e, any(&e));
	if (!e.bad && e.tok.kind != PY_EOF)
		refuse(&e, "'%.*s' is not understood", (int)e.tok.len,
		       e.tok.s);
	if (e.bad)
		return PYEXPR_BAD;
	if (v.kind == UNKNOWN)
		return PYEXPR_UNKNOWN;
	return v.num ? PYEXPR_TRUE : PYEXPR_FALSE;
}
