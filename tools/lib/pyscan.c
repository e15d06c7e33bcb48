#include "pyscan.h"
#include "pytok.h"

struct scope {
	int level;
	char *name;
};

struct scan {
	struct pyscan *ps;
	struct pytok tz;
	struct py_token tok, prev;
	int level;		/* of indentation */
	bool start;		/* tok begins a statement */
	struct scope scopes[100];
	int nscopes;
	uint32_t dec_from;
	/* the dotted name that is being read */
	struct py_slice chain;
	bool in_chain, chain_unknown, dot;
	uint32_t chain_line;
	bool in_case;		/* in a case pattern, before `if` or ':' */
	bool header;		/* between def/class NAME and its '(' */
	uint32_t string_line;	/* of the adjacent strings being read */
	uint32_t fixed_line;	/* in an f-string: report this line */
};

#define PUSH(arr, n) ((arr) = xroom((arr), (n), sizeof(*(arr))), &(arr)[(n)++])

static void run(struct scan *sc);

static struct py_slice slice_of(const struct py_token *t)
{
	return (struct py_slice){ t->s, t->len };
}

static void add_chain(struct scan *sc, struct py_slice text, uint32_t line,
		      bool call, bool unknown)
{
	struct py_chain *c = PUSH(sc->ps->chains, sc->ps->nchains);

	*c = (struct py_chain){ .text = text,
		.line = sc->fixed_line ? sc->fixed_line : line,
		.call = call, .unknown = unknown };
}

static void end_chain(struct scan *sc, bool call)
{
	if (sc->in_chain && (call || !sc->chain_unknown) && !sc->in_case)
		add_chain(sc, sc->chain, sc->chain_line, call,
			  sc->chain_unknown);
	sc->in_chain = false;
}

static void drop_chain(struct scan *sc)
{
	sc->in_chain = false;
}

static void scan_field(void *data, const char *s, size_t len)
{
	struct scan *outer = data, sc = { .ps = outer->ps };

	sc.fixed_line = outer->fixed_line ? outer->fixed_line
					  : outer->string_line;
	pytok_init_expr(&sc.tz, s, len, 1);
	run(&sc);
}

static void next(struct scan *sc)
{
	sc->prev = sc->tok;
	pytok_next(&sc->tz, &sc->tok);
}

/* Tells whether a line that begins with `match` or `case` is a statement. */
static bool soft_keyword(struct scan *sc)
{
	struct pytok ahead = sc->tz;
	struct py_token t;

	pytok_next(&ahead, &t);
	if (t.kind == PY_NEWLINE || t.kind == PY_EOF ||
	    (t.kind == PY_OP && strchr("=.,):;", t.s[0])) ||
	    (t.kind == PY_OP && t.len == 2 && t.s[1] == '='))
		return false;
	while (t.kind != PY_NEWLINE && t.kind != PY_EOF && t.kind != PY_ERROR) {
		if (t.kind == PY_OP && !t.depth && py_is(&t, ":"))
			return true;
		if (t.kind == PY_OP && !t.depth && py_is(&t, "="))
			return false;
		pytok_next(&ahead, &t);
	}
	return false;
}

static void pop_scopes(struct scan *sc)
{
	while (sc->nscopes && sc->scopes[sc->nscopes - 1].level >= sc->level)
		free(sc->scopes[--sc->nscopes].name);
}

/* At `def` or `class`; reads the name. */
static void definition(struct scan *sc, char kind, uint32_t line)
{
	struct strbuf q = STRBUF_INIT;
	struct py_def *d;
	int i;

	next(sc);
	if (sc->tok.kind != PY_NAME)
		return;
	for (i = 0; i < sc->nscopes; i++)
		strbuf_addf(&q, "%s.", sc->scopes[i].name);
	strbuf_add(&q, sc->tok.s, sc->tok.len);
	d = PUSH(sc->ps->defs, sc->ps->ndefs);
	*d = (struct py_def){ .kind = kind, .line = line,
		.depth = (uint32_t)sc->nscopes,
		.qualname = strbuf_detach(&q), .dec = sc->dec_from,
		.ndec = (uint32_t)sc->ps->ndecorators - sc->dec_from };
	sc->dec_from = (uint32_t)sc->ps->ndecorators;
	if (sc->nscopes < (int)ARRAY_SIZE(sc->scopes))
		sc->scopes[sc->nscopes++] = (struct scope){ sc->level,
			xstrndup(sc->tok.s, sc->tok.len) };
	sc->header = true;
	next(sc);
}

/* Reads NAME(.NAME)* as one slice; the token after it is current then. */
static struct py_slice dotted(struct scan *sc)
{
	struct py_slice s = { sc->tok.s, 0 };

	while (sc->tok.kind == PY_NAME) {
		s.len = (uint32_t)(sc->tok.s + sc->tok.len - s.s);
		next(sc);
		if (sc->tok.kind != PY_OP || !py_is(&sc->tok, "."))
			break;
		next(sc);
	}
	return s;
}

static struct py_slice as_name(struct scan *sc)
{
	struct py_slice s = { NULL, 0 };

	if (sc->tok.kind == PY_NAME && py_is(&sc->tok, "as")) {
		next(sc);
		s = slice_of(&sc->tok);
		next(sc);
	}
	return s;
}

static bool at(struct scan *sc, const char *op)
{
	return sc->tok.kind == PY_OP && py_is(&sc->tok, op);
}

/* At `import` or `from`; ends on the NEWLINE or ';' after the statement. */
static void import(struct scan *sc)
{
	struct py_import im = { .line = sc->tok.line, .top = !sc->nscopes };
	bool from = py_is(&sc->tok, "from");

	next(sc);
	if (!from) {
		for (;;) {
			im.module = dotted(sc);
			im.as = as_name(sc);
			*PUSH(sc->ps->imports, sc->ps->nimports) = im;
			if (!at(sc, ","))
				return;
			next(sc);
		}
	}
	while (at(sc, ".") || at(sc, "...")) {
		im.level += sc->tok.len;
		next(sc);
	}
	if (!(sc->tok.kind == PY_NAME && py_is(&sc->tok, "import")))
		im.module = dotted(sc);
	next(sc);
	if (at(sc, "("))
		next(sc);
	while (sc->tok.kind == PY_NAME || at(sc, "*")) {
		im.name = slice_of(&sc->tok);
		next(sc);
		im.as = as_name(sc);
		if (!im.as.len)
			im.as = im.name;
		*PUSH(sc->ps->imports, sc->ps->nimports) = im;
		if (!at(sc, ","))
			break;
		next(sc);
	}
	if (at(sc, ")"))
		next(sc);
}

/* At '@': notes the name and a trace= argument, reading ahead on a copy. */
static void decorator(struct scan *sc)
{
	struct pytok ahead = sc->tz;
	struct py_decorator d = { .line = sc->tok.line };
	struct py_token t, last = { .kind = PY_EOF };
	bool closed = false;	/* the argument list is behind us */

	pytok_next(&ahead, &t);
	d.name.s = t.s;
	while ((t.kind == PY_NAME && !py_keyword(&t)) ||
	       (t.kind == PY_OP && py_is(&t, "."))) {
		d.name.len = (uint32_t)(t.s + t.len - d.name.s);
		pytok_next(&ahead, &t);
	}
	d.called = t.kind == PY_OP && py_is(&t, "(");
	while (t.kind != PY_NEWLINE && t.kind != PY_EOF &&
	       t.kind != PY_ERROR) {
		if (closed || (!d.called && !t.depth)) {
			/* an expression, not a name or a call of one */
			d = (struct py_decorator){ .line = d.line };
			break;
		}
		closed = t.kind == PY_OP && t.depth == 1 && py_is(&t, ")");
		if (d.has_trace && d.trace.s && !d.trace.len &&
		    t.depth == 1 && t.kind == PY_OP &&
		    (py_is(&t, ",") || py_is(&t, ")")))
			d.trace.len = (uint32_t)(last.s + last.len -
						 d.trace.s);
		if (d.has_trace && !d.trace.s)
			d.trace.s = t.s;
		if (t.kind == PY_OP && py_is(&t, "=") && t.depth == 1 &&
		    last.kind == PY_NAME && py_is(&last, "trace"))
			d.has_trace = true;
		last = t;
		pytok_next(&ahead, &t);
	}
	*PUSH(sc->ps->decorators, sc->ps->ndecorators) = d;
}

/* At module level after `EntryClass`: names on the right of '='. */
static void entry_class(struct scan *sc)
{
	struct pytok ahead = sc->tz;
	struct py_token t;

	pytok_next(&ahead, &t);
	if (t.kind != PY_OP || !py_is(&t, "="))
		return;
	sc->ps->entry_line = sc->tok.line;
	for (pytok_next(&ahead, &t);
	     t.kind == PY_NAME || t.kind == PY_OP; pytok_next(&ahead, &t))
		if (t.kind == PY_NAME)
			*PUSH(sc->ps->entry, sc->ps->nentry) = slice_of(&t);
}

/* True if the statement was dealt with and a new token is current. */
static bool statement(struct scan *sc)
{
	uint32_t line = sc->tok.line;

	if (sc->tok.kind == PY_OP && py_is(&sc->tok, "@")) {
		decorator(sc);
		return false;
	}
	if (sc->tok.kind != PY_NAME)
		return false;
	if (py_is(&sc->tok, "def") || py_is(&sc->tok, "class")) {
		definition(sc, sc->tok.s[0] == 'd' ? 'f' : 'c', line);
		return true;
	}
	if (py_is(&sc->tok, "async")) {
		next(sc);
		if (sc->tok.kind == PY_NAME && py_is(&sc->tok, "def"))
			definition(sc, 'a', line);
		return true;
	}
	if (py_is(&sc->tok, "import") || py_is(&sc->tok, "from")) {
		import(sc);
		return true;
	}
	if ((py_is(&sc->tok, "case") || py_is(&sc->tok, "match")) &&
	    soft_keyword(sc)) {
		sc->in_case = sc->tok.s[0] == 'c';
		next(sc);
		return true;
	}
	if (!sc->nscopes && py_is(&sc->tok, "EntryClass"))
		entry_class(sc);
	return false;
}

static void name(struct scan *sc)
{
	if (py_keyword(&sc->tok)) {
		end_chain(sc, false);
		if (sc->in_case && py_is(&sc->tok, "if"))
			sc->in_case = false;
		return;
	}
	if (sc->dot && sc->in_chain && !sc->chain_unknown) {
		sc->chain.len = (uint32_t)(sc->tok.s + sc->tok.len -
					   sc->chain.s);
	} else {
		bool unknown = sc->dot;

		if (!sc->dot)
			end_chain(sc, false);
		sc->chain = slice_of(&sc->tok);
		sc->chain_unknown = unknown;
		sc->in_chain = true;
	}
	sc->chain_line = sc->tok.line;
	sc->dot = false;
}

static void op(struct scan *sc)
{
	const struct py_token *p = &sc->prev;

	if (py_is(&sc->tok, ".")) {
		sc->dot = true;
		return;
	}
	if (py_is(&sc->tok, "(")) {
		if (sc->header) {
			sc->header = false;
			drop_chain(sc);
		} else if (sc->in_chain) {
			end_chain(sc, true);
		} else if (((p->kind == PY_OP && p->len == 1 &&
			     strchr(")]}", p->s[0])) ||
			    p->kind == PY_STRING) && !sc->in_case) {
			add_chain(sc, (struct py_slice){ "", 0 }, p->end_line,
				  true, false);
		}
		return;
	}
	if (py_is(&sc->tok, "=") && sc->in_chain &&
	    sc->chain.s == p->s) {
		drop_chain(sc);		/* bound here, not used */
		return;
	}
	end_chain(sc, false);
	if (py_is(&sc->tok, ":") && !sc->tok.depth) {
		sc->header = false;
		sc->in_case = false;
		sc->start = true;
	}
	if (py_is(&sc->tok, ";") && !sc->tok.depth)
		sc->start = true;
}

static void run(struct scan *sc)
{
	sc->start = true;
	next(sc);
	while (sc->tok.kind != PY_EOF) {
		bool start = sc->start && sc->tok.kind != PY_INDENT &&
			sc->tok.kind != PY_DEDENT &&
			sc->tok.kind != PY_NEWLINE && !sc->tz.expr;

		if (start) {
			bool after_colon = sc->prev.kind == PY_OP &&
				py_is(&sc->prev, ":");

			sc->start = false;
			if (!after_colon)
				pop_scopes(sc);
			if (statement(sc))
				continue;
		}
		if (sc->tok.kind != PY_NAME && sc->tok.kind != PY_OP)
			end_chain(sc, false);
		if (sc->tok.kind == PY_STRING &&
		    sc->prev.kind != PY_STRING)
			sc->string_line = sc->tok.line;
		switch (sc->tok.kind) {
		case PY_NAME:
			name(sc);
			break;
		case PY_OP:
			op(sc);
			if (!py_is(&sc->tok, "."))
				sc->dot = false;
			break;
		case PY_STRING:
			if (sc->tok.fstring)
				pytok_fields(&sc->tok, scan_field, sc);
			break;
		case PY_NEWLINE:
			sc->start = true;
			sc->header = sc->in_case = false;
			break;
		case PY_INDENT:
			sc->level++;
			sc->start = true;
			break;
		case PY_DEDENT:
			sc->level--;
			sc->start = true;
			break;
		case PY_ERROR:
			if (!sc->ps->broken)
				sc->ps->broken = sc->tok.line;
			break;
		default:
			break;
		}
		if (sc->tok.kind != PY_OP && sc->tok.kind != PY_NAME)
			sc->dot = false;
		next(sc);
	}
	end_chain(sc, false);
	sc->level = -1;
	pop_scopes(sc);
}

void pyscan_init(struct pyscan *ps, const char *s, size_t len)
{
	struct scan sc = { .ps = ps };

	*ps = (struct pyscan){ 0 };
	if (len > UINT32_MAX) {
		ps->broken = 1;
		return;
	}
	pytok_init(&sc.tz, s, len);
	run(&sc);
}

void pyscan_release(struct pyscan *ps)
{
	size_t i;

	for (i = 0; i < ps->ndefs; i++)
		free(ps->defs[i].qualname);
	free(ps->defs);
	free(ps->decorators);
	free(ps->imports);
	free(ps->chains);
	free(ps->entry);
	*ps = (struct pyscan){ 0 };
}

void pyscan_dotted(struct strbuf *sb, struct py_slice s)
{
	uint32_t i;

	for (i = 0; i < s.len; i++) {
		if (s.s[i] == '#')
			while (i < s.len && s.s[i] != '\n')
				i++;
		else if (!strchr(" \t\r\n\f\\", s.s[i]))
			strbuf_addch(sb, s.s[i]);
	}
}
