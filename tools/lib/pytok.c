#include "pytok.h"

#define MAX_DEPTH 200

void pytok_init(struct pytok *t, const char *s, size_t len)
{
	*t = (struct pytok){ .p = s, .end = s + len, .line = 1,
			     .at_line_start = true, .levels = 1 };
	if (len >= 3 && !memcmp(s, "\xef\xbb\xbf", 3))
		t->p += 3;
}

void pytok_init_expr(struct pytok *t, const char *s, size_t len,
		     uint32_t line)
{
	*t = (struct pytok){ .p = s, .end = s + len, .line = line,
			     .levels = 1, .expr = true };
}

bool py_is(const struct py_token *t, const char *s)
{
	size_t n = strlen(s);

	return t->len == n && !memcmp(t->s, s, n);
}

bool py_keyword(const struct py_token *t)
{
	/* by length: most names are told from all of them by that */
	static const char *const words[9][10] = {
		[2] = { "as", "if", "in", "is", "or" },
		[3] = { "and", "def", "del", "for", "not", "try" },
		[4] = { "None", "True", "elif", "else", "from", "pass",
			"with" },
		[5] = { "False", "async", "await", "break", "class", "raise",
			"while", "yield" },
		[6] = { "assert", "except", "global", "import", "lambda",
			"return" },
		[7] = { "finally" },
		[8] = { "continue", "nonlocal" },
	};
	int i;

	if (t->kind != PY_NAME || t->len < 2 || t->len > 8)
		return false;
	for (i = 0; words[t->len][i]; i++)
		if (!memcmp(words[t->len][i], t->s, t->len))
			return true;
	return false;
}

static bool name_start(unsigned char c)
{
	return (unsigned)((c | 32) - 'a') < 26 || c == '_' || c >= 0x80;
}

static bool digit(unsigned char c)
{
	return (unsigned)(c - '0') < 10;
}

static void finish(struct pytok *t, struct py_token *tok, enum py_kind kind,
		   const char *from)
{
	tok->kind = kind;
	tok->s = from;
	tok->len = (uint32_t)(t->p - from);
	tok->end_line = t->line;
}

/*
 * At a quote; the prefix is behind us. In a raw string too a backslash hides a
 * quote. False if the string does not end.
 */
static bool skip_string(struct pytok *t)
{
	char q = *t->p;
	bool triple = t->end - t->p >= 3 && t->p[1] == q && t->p[2] == q;

	t->p += triple ? 3 : 1;
	while (t->p < t->end) {
		char c = *t->p;

		if (c == '\\' && t->p + 1 < t->end) {
			if (t->p[1] == '\n')
				t->line++;
			else if (t->p[1] == '\r' && t->p + 2 < t->end &&
				 t->p[2] == '\n') {
				t->line++;
				t->p++;
			}
			t->p += 2;
			continue;
		}
		if (c == '\n') {
			if (!triple)
				return false;
			t->line++;
		}
		if (c == q && !triple) {
			t->p++;
			return true;
		}
		if (c == q && t->end - t->p >= 3 && t->p[1] == q &&
		    t->p[2] == q) {
			t->p += 3;
			return true;
		}
		t->p++;
	}
	return false;
}

/* A string prefix of one or two letters right before a quote, or 0. */
static int prefix_len(const char *p, const char *end, bool *f)
{
	int i;

	*f = false;
	for (i = 0; i < 3 && p + i < end; i++) {
		switch (p[i] | 32) {
		case 'f':
			*f = true;
			break;
		case 'r': case 'b': case 'u':
			break;
		default:
			return (p[i] == '"' || p[i] == '\'') ? i : 0;
		}
	}
	return 0;
}

/* Reads the blanks of a new line; true if it holds a statement. */
static bool line_start(struct pytok *t, int *col)
{
	const char *p = t->p;

	*col = 0;
	for (; p < t->end; p++) {
		if (*p == ' ')
			++*col;
		else if (*p == '\t')
			*col = (*col / 8 + 1) * 8;
		else if (*p == '\f')
			*col = 0;
		else
			break;
	}
	t->p = p;
	return p < t->end && *p != '#' && *p != '\n' && *p != '\r';
}

static bool change_indent(struct pytok *t, struct py_token *tok, int col)
{
	if (col > t->indents[t->levels - 1]) {
		if (t->levels == (int)ARRAY_SIZE(t->indents)) {
			finish(t, tok, PY_ERROR, t->p);
			t->p = t->end;
			return true;
		}
		t->indents[t->levels++] = col;
		finish(t, tok, PY_INDENT, t->p);
		return true;
	}
	while (t->levels > 1 && col < t->indents[t->levels - 1]) {
		t->levels--;
		t->pending++;
	}
	return false;
}

static bool skip_blank(struct pytok *t)
{
	unsigned char c = (unsigned char)*t->p;

	if (c == ' ' || c == '\t' || c == '\f' || c == '\r') {
		t->p++;
		return true;
	}
	if (c == '#') {
		const char *nl = memchr(t->p, '\n', (size_t)(t->end - t->p));

		t->p = nl ? nl : t->end;
		return true;
	}
	if (c == '\\' && t->p + 1 < t->end &&
	    (t->p[1] == '\n' || (t->p[1] == '\r' && t->p + 2 < t->end &&
				 t->p[2] == '\n'))) {
		t->p += t->p[1] == '\n' ? 2 : 3;
		t->line++;
		return true;
	}
	if (c == '\n' && (t->depth || t->expr)) {
		t->p++;
		t->line++;
		return true;
	}
	return false;
}

static void end_of_file(struct pytok *t, struct py_token *tok)
{
	if (!t->at_line_start && !t->expr) {
		t->at_line_start = true;
		finish(t, tok, PY_NEWLINE, t->p);
		return;
	}
	if (t->levels > 1) {
		t->levels--;
		finish(t, tok, PY_DEDENT, t->p);
		return;
	}
	finish(t, tok, PY_EOF, t->p);
}

static void digits(struct pytok *t, const char *set)
{
	while (t->p < t->end && *t->p && strchr(set, *t->p))
		t->p++;
}

static char peek(const struct pytok *t, int n)
{
	return t->end - t->p > n ? t->p[n] : '\0';
}

static void number(struct pytok *t)
{
	const char *dec = "0123456789_";
	char c;

	if (*t->p == '0' && peek(t, 1) && strchr("xXoObB", peek(t, 1))) {
		t->p += 2;
		digits(t, "0123456789abcdefABCDEF_");
		return;
	}
	digits(t, dec);
	if (peek(t, 0) == '.') {
		t->p++;
		digits(t, dec);
	}
	c = peek(t, 1);
	if ((peek(t, 0) | 32) == 'e' &&
	    (digit((unsigned char)c) ||
	     ((c == '+' || c == '-') && digit((unsigned char)peek(t, 2))))) {
		t->p += 2;
		digits(t, dec);
	}
	if ((peek(t, 0) | 32) == 'j')
		t->p++;
}

/* Two bytes that may be followed by '=': ** // >> << */
static bool doubled(char c, char d)
{
	return c == d && (c == '*' || c == '/' || c == '>' || c == '<');
}

static void operator(struct pytok *t)
{
	char c = *t->p, d = peek(t, 1);

	if (doubled(c, d)) {
		t->p += peek(t, 2) == '=' ? 3 : 2;
		return;
	}
	if (c == '.' && d == '.' && peek(t, 2) == '.') {
		t->p += 3;
		return;
	}
	if ((d == '=' && strchr("!=<>+-*/%&|^@:", c)) ||
	    (c == '-' && d == '>')) {
		t->p += 2;
		return;
	}
	switch (*t->p++) {
	case '(': case '[': case '{':
		t->depth++;
		break;
	case ')': case ']': case '}':
		if (t->depth)
			t->depth--;
		break;
	}
}

static void word(struct pytok *t, struct py_token *tok)
{
	const char *from = t->p;
	bool f;
	int n = 0;
	unsigned char c = (unsigned char)*t->p;

	if (c == '"' || c == '\'' ||
	    (n = prefix_len(t->p, t->end, &f)) > 0) {
		if (!n)
			f = false;
		t->p += n;
		tok->fstring = f;
		if (!skip_string(t)) {
			t->p = t->end;
			finish(t, tok, PY_ERROR, from);
			return;
		}
		finish(t, tok, PY_STRING, from);
		return;
	}
	if (digit(c) || (c == '.' && t->p + 1 < t->end &&
			 digit((unsigned char)t->p[1]))) {
		number(t);
		finish(t, tok, PY_NUMBER, from);
		return;
	}
	if (name_start(c)) {
		while (t->p < t->end && (name_start((unsigned char)*t->p) ||
					 digit((unsigned char)*t->p)))
			t->p++;
		finish(t, tok, PY_NAME, from);
		return;
	}
	if (!c || t->depth >= MAX_DEPTH) {
		t->p = t->end;
		finish(t, tok, PY_ERROR, from);
		return;
	}
	operator(t);
	finish(t, tok, PY_OP, from);
}

void pytok_next(struct pytok *t, struct py_token *tok)
{
	int col;

	for (;;) {
		tok->line = t->line;
		tok->depth = t->depth;
		tok->fstring = false;
		if (t->pending) {
			t->pending--;
			finish(t, tok, PY_DEDENT, t->p);
			return;
		}
		if (t->p >= t->end) {
			end_of_file(t, tok);
			return;
		}
		if (t->at_line_start && !t->depth && !t->expr) {
			if (line_start(t, &col)) {
				t->at_line_start = false;
				if (change_indent(t, tok, col))
					return;
				continue;
			}
			/* a blank line or a comment: it has no indentation */
			while (t->p < t->end && *t->p != '\n')
				t->p++;
			if (t->p < t->end) {
				t->p++;
				t->line++;
			}
			continue;
		}
		if (skip_blank(t))
			continue;
		if (*t->p == '\n') {
			const char *from = t->p++;

			finish(t, tok, PY_NEWLINE, from);
			t->line++;
			t->at_line_start = true;
			return;
		}
		word(t, tok);
		return;
	}
}

struct field {
	const char *p, *end;
	void (*fn)(void *data, const char *s, size_t len);
	void *data;
};

static void literal(struct field *f, bool spec, int level);

/* After "{": the expression up to its "!r", ":", "=" or "}". */
static void one_field(struct field *f, int level)
{
	const char *from = f->p;
	struct pytok t;
	struct py_token k;

	pytok_init_expr(&t, f->p, (size_t)(f->end - f->p), 1);
	for (;;) {
		pytok_next(&t, &k);
		if (k.kind == PY_EOF || k.kind == PY_ERROR) {
			f->p = f->end;
			return;
		}
		if (!k.depth && k.kind == PY_OP &&
		    (py_is(&k, "}") || k.s[0] == ':' || k.s[0] == '!')) {
			if (py_is(&k, "!="))
				continue;
			break;
		}
	}
	f->fn(f->data, from, (size_t)(k.s - from));
	f->p = k.s;
	if (*f->p == '!')
		while (f->p < f->end && *f->p != ':' && *f->p != '}')
			f->p++;
	if (f->p < f->end && *f->p == ':') {
		f->p++;
		literal(f, true, level + 1);
	}
	if (f->p < f->end)
		f->p++;
}

static void literal(struct field *f, bool spec, int level)
{
	while (f->p < f->end) {
		char c = *f->p;

		if (c == '{' && !spec && f->p + 1 < f->end && f->p[1] == '{')
			f->p += 2;
		else if (c == '{' && level < 4) {
			f->p++;
			one_field(f, level);
		} else if (c == '}' && spec)
			return;
		else
			f->p++;
	}
}

void pytok_fields(const struct py_token *tok,
		  void (*fn)(void *data, const char *s, size_t len),
		  void *data)
{
	const char *s = tok->s, *end = s + tok->len;
	struct field f = { .fn = fn, .data = data };
	size_t q;

	while (s < end && *s != '"' && *s != '\'')
		s++;
	q = end - s >= 6 && s[1] == *s && s[2] == *s ? 3 : 1;
	if ((size_t)(end - s) < 2 * q)
		return;
	f.p = s + q;
	f.end = end - q;
	literal(&f, false, 0);
}
