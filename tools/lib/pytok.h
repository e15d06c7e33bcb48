/*
 * pytok.h - a tokenizer for Python 3 source, as much of the language
 * reference's "Lexical analysis" as an index needs.
 *
 * Blanks, comments, and line ends inside brackets or after a backslash are
 * left out; INDENT, DEDENT and NEWLINE come as in Python. String prefixes,
 * triple quotes and escapes are understood, so brackets and hashes inside
 * strings never count. Numbers are one token (their value is not needed).
 * An f-string is one STRING token with `fstring` set; its replacement
 * fields are read by pytok_fields().
 *
 * Bytes may be anything: a NUL, a lone quote or an unclosed bracket ends in
 * an ERROR token or EOF, never outside the buffer. Nesting over 200 levels
 * of brackets or 100 of indentation is an ERROR, as it is in CPython.
 */
#ifndef ONBOARD_PYTOK_H
#define ONBOARD_PYTOK_H

#include "base.h"

enum py_kind {
	PY_EOF, PY_NAME, PY_NUMBER, PY_STRING, PY_OP, PY_NEWLINE, PY_INDENT,
	PY_DEDENT, PY_ERROR
};

struct py_token {
	enum py_kind kind;
	const char *s;		/* borrowed from the source, no NUL */
	uint32_t len;
	uint32_t line;		/* of the first byte, from 1 */
	uint32_t end_line;
	int depth;		/* brackets open before this token */
	bool fstring;
};

struct pytok {
	const char *p, *end;
	uint32_t line;
	int depth;		/* open brackets */
	int indents[100], levels;
	int pending;		/* DEDENTs still to hand out */
	bool at_line_start, expr;
};

void pytok_init(struct pytok *t, const char *s, size_t len);
/* A replacement field: as inside brackets, no NEWLINE, INDENT or DEDENT. */
void pytok_init_expr(struct pytok *t, const char *s, size_t len,
		     uint32_t line);
void pytok_next(struct pytok *t, struct py_token *tok);

/*
 * Calls fn for the expression of each replacement field of an f-string
 * token, fields of nested format specifications included.
 */
void pytok_fields(const struct py_token *fstring,
		  void (*fn)(void *data, const char *s, size_t len),
		  void *data);

bool py_is(const struct py_token *t, const char *s);
/* A hard keyword of Python 3. */
bool py_keyword(const struct py_token *t);

#endif
