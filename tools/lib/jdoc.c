#include "jdoc.h"

#include <endian.h>
#include <math.h>

#define MAX_DEPTH 2048
#define FEW 16		/* members that are held against each other in pairs */

struct jblock {
	struct jblock *older;
	size_t n;
	struct jval v[];
};

struct reader {
	struct jdoc *d;
	char *p, *end, *line_start;
	size_t line;
	int depth;
	const char *why;	/* the first thing that is wrong */
	char *where;
};

static struct jval *new_val(struct jdoc *d)
{
	struct jblock *b = d->blocks;

	if (!b || d->used == b->n) {
		size_t n = b ? b->n * 2 : d->guess;

		b = xmalloc(st_add(sizeof(*b), st_mult(n, sizeof(b->v[0]))));
		b->older = d->blocks;
		b->n = n;
		d->blocks = b;
		d->used = 0;
	}
	return &b->v[d->used++];
}

/* Only the newest block, which is the largest, is kept for the next one. */
static void drop_older(struct jdoc *d)
{
	struct jblock *b, *older;

	for (b = d->blocks ? d->blocks->older : NULL; b; b = older) {
		older = b->older;
		free(b);
	}
	if (d->blocks)
		d->blocks->older = NULL;
	d->used = 0;
	free(d->text);
	d->text = NULL;
}

void jdoc_release(struct jdoc *d)
{
	drop_older(d);
	free(d->blocks);
	*d = (struct jdoc)JDOC_INIT;
}

static bool wrong(struct reader *r, const char *why)
{
	if (!r->why) {
		r->why = why;
		r->where = r->p;
	}
	return false;
}

static char blank(struct reader *r)
{
	for (; r->p < r->end; r->p++) {
		if (*r->p == '\n') {
			r->line++;
			r->line_start = r->p + 1;
		} else if (*r->p != ' ' && *r->p != '\t' && *r->p != '\r') {
			return *r->p;
		}
	}
	return '\0';
}

static bool take(struct reader *r, char c)
{
	if (blank(r) != c || r->p == r->end)
		return false;
	r->p++;
	return true;
}

/* ---- texts ---- */

static int hex4(const char *s, const char *end, unsigned *u)
{
	int i;

	*u = 0;
	if (end - s < 4)
		return -1;
	for (i = 0; i < 4; i++) {
		unsigned c = (unsigned char)s[i];

		if (c - '0' < 10)
			*u = *u << 4 | (c - '0');
		else if ((c | 32) - 'a' < 6)
			*u = *u << 4 | ((c | 32) - 'a' + 10);
		else
			return -1;
	}
	return 0;
}

static char *put_utf8(char *to, unsigned u)
{
	if (u < 0x80) {
		*to++ = (char)u;
		return to;
	}
	if (u < 0x800) {
		*to++ = (char)(0xc0 | u >> 6);
	} else {
		if (u < 0x10000) {
			*to++ = (char)(0xe0 | u >> 12);
		} else {
			*to++ = (char)(0xf0 | u >> 18);
			*to++ = (char)(0x80 | (u >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (u >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (u & 0x3f));
	return to;
}

/* At the 'u' of an escape: a code point, or a pair of surrogates. */
static char *unicode(struct reader *r, char *to)
{
	unsigned u, low;

	if (hex4(r->p + 1, r->end, &u))
		wrong(r, "\\u needs four hexadecimal digits");
	else if (!u)
		wrong(r, "\\u0000 is not allowed");
	r->p += r->why ? 0 : 5;
	if (r->why || u < 0xd800 || u > 0xdfff)
		return put_utf8(to, u);
	if (u > 0xdbff || r->end - r->p < 6 || r->p[0] != '\\' ||
	    r->p[1] != 'u' || hex4(r->p + 2, r->end, &low) || low < 0xdc00 ||
	    low > 0xdfff)
		wrong(r, "half of a surrogate pair");
	else
		r->p += 6;
	return r->why ? to : put_utf8(to, 0x10000 + ((u - 0xd800) << 10) +
				      (low - 0xdc00));
}

static char *escape(struct reader *r, char *to)
{
	static const char from[] = "\"\\/bfnrt", is[] = "\"\\/\b\f\n\r\t";
	const char *e;

	if (++r->p < r->end && *r->p == 'u')
		return unicode(r, to);
	e = r->p < r->end && *r->p ? strchr(from, *r->p) : NULL;
	if (!e) {
		wrong(r, "an escape that JSON has not");
		return to;
	}
	r->p++;
	*to = is[e - from];
	return to + 1;
}

/* The bytes of one code point over 0x7f, or 0: RFC 3629. */
static int utf8_len(const unsigned char *s, const char *end)
{
	int n = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 :
		s[0] < 0xf5 ? 4 : 0, i;

	if ((const char *)s + n > end)
		return 0;
	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* How many of eight bytes, from the first on, stand for themselves. */
static unsigned plain(uint64_t w)
{
	const uint64_t one = 0x0101010101010101, top = one << 7;
	uint64_t odd;

	w = le64toh(w);
	odd = (w | (w - one * 0x20) | ((w ^ one * '"') - one) |
	       ((w ^ one * '\\') - one)) & top;
	return odd ? (unsigned)__builtin_ctzll(odd) >> 3 : 8;
}

/* Behind the opening quote; the text is closed with a NUL where it stands. */
static const char *text(struct reader *r, uint32_t *len)
{
	char *from = r->p, *to = from;

	while (!r->why) {
		unsigned char c;
		int n;

		while (r->end - r->p >= 8) {
			uint64_t w;
			unsigned k;

			memcpy(&w, r->p, 8);
			k = plain(w);
			if (k < 8) {
				memmove(to, r->p, k);
				to += k;
				r->p += k;
				break;
			}
			memcpy(to, &w, 8);
			to += 8;
			r->p += 8;
		}
		if (r->p == r->end)
			break;
		c = (unsigned char)*r->p;
		if (c == '"') {
			r->p++;
			*to = '\0';
			if (to - from > UINT32_MAX)
				break;
			*len = (uint32_t)(to - from);
			return from;
		}
		if (c == '\\') {
			to = escape(r, to);
		} else if (c < 0x20) {
			wrong(r, "a control character in a text");
		} else {
			n = c < 0x80 ? 1 : utf8_len((unsigned char *)r->p,
						    r->end);
			if (!n)
				wrong(r, "bytes that are no UTF-8");
			for (; n > 0; n--)
				*to++ = *r->p++;
		}
	}
	wrong(r, "a text that does not end");
	return NULL;
}

/* ---- numbers ---- */

static bool digits(struct reader *r)
{
	char *from = r->p;

	while (r->p < r->end && (unsigned)(*r->p - '0') < 10)
		r->p++;
	return r->p > from || wrong(r, "a number that is none");
}

static bool whole(struct reader *r, const char *from, struct jval *v)
{
	bool minus = *from == '-';
	uint64_t u = 0;

	for (from += minus; from < r->p; from++)
		if (__builtin_mul_overflow(u, (uint64_t)10, &u) ||
		    __builtin_add_overflow(u, (uint64_t)(*from - '0'), &u) ||
		    u > (uint64_t)INT64_MAX + minus)
			return wrong(r, "a whole number of more than 64 bits");
	v->type = J_INT;
	v->i = minus ? (int64_t)(0 - u) : (int64_t)u;
	return true;
}

static bool number(struct reader *r, struct jval *v)
{
	char *from = r->p, copy[400];
	bool real = false;
	size_t n;

	if (*r->p == '-')
		r->p++;
	if (r->p < r->end && *r->p == '0')
		r->p++;
	else if (!digits(r))
		return false;
	if (r->p < r->end && *r->p == '.') {
		real = true;
		r->p++;
		if (!digits(r))
			return false;
	}
	if (r->p < r->end && (*r->p | 32) == 'e') {
		real = true;
		r->p++;
		if (r->p < r->end && (*r->p == '+' || *r->p == '-'))
			r->p++;
		if (!digits(r))
			return false;
	}
	if (!real)
		return whole(r, from, v);
	n = (size_t)(r->p - from);
	if (n < sizeof(copy)) {
		memcpy(copy, from, n);
		copy[n] = '\0';
		v->d = strtod(copy, NULL);
	} else {
		char *s = xstrndup(from, n);

		v->d = strtod(s, NULL);
		free(s);
	}
	v->type = J_REAL;
	return isfinite(v->d) || wrong(r, "a number too large for a double");
}

/* ---- values ---- */

static bool value(struct reader *r, struct jval *v);

static int by_key(const void *a, const void *b)
{
	return strcmp((*(const struct jval *const *)a)->key,
		      (*(const struct jval *const *)b)->key);
}

static bool twice(const struct jval *o)
{
	const struct jval *a, *b, **all;
	bool found = false;
	size_t n = 0;

	if (o->n <= FEW) {
		for (a = o->first; a; a = a->next)
			for (b = a->next; b; b = b->next)
				if (a->tag == b->tag && !strcmp(a->key,
								b->key))
					return true;
		return false;
	}
	all = xcalloc(o->n, sizeof(*all));
	for (a = o->first; a; a = a->next)
		all[n++] = a;
	qsort(all, n, sizeof(*all), by_key);
	while (n-- > 1 && !found)
		found = !strcmp(all[n]->key, all[n - 1]->key);
	free(all);
	return found;
}

static bool members(struct reader *r, struct jval *o, bool object)
{
	struct jval **last = &o->first, *v;

	o->first = NULL;
	o->n = 0;
	o->type = object ? J_OBJ : J_ARR;
	r->p++;
	if (take(r, object ? '}' : ']'))
		return true;
	do {
		const char *key = NULL;
		uint32_t n = 0;

		if (object) {
			if (!take(r, '"'))
				return wrong(r, "a key is missing");
			key = text(r, &n);
			if (!key)
				return false;
			if (!take(r, ':'))
				return wrong(r, "':' is missing behind a key");
		}
		v = new_val(r->d);
		v->key = key;
		v->tag = key ? jv_tag(key, n) : 0;
		v->next = NULL;
		*last = v;
		last = &v->next;
		if (o->n++ == UINT32_MAX - 1 || !value(r, v))
			return wrong(r, "too many values");
	} while (take(r, ','));
	if (!take(r, object ? '}' : ']'))
		return wrong(r, object ? "',' or '}' is missing" :
			     "',' or ']' is missing");
	return !object || !twice(o) || wrong(r, "a key stands twice");
}

static bool word(struct reader *r, const char *w, struct jval *v,
		 enum jtype type)
{
	size_t n = strlen(w);

	if ((size_t)(r->end - r->p) < n || memcmp(r->p, w, n))
		return wrong(r, "what stands here is no value");
	r->p += n;
	v->type = type;
	return true;
}

static bool one_value(struct reader *r, struct jval *v)
{
	char c = blank(r);

	switch (c) {
	case '{': case '[':
		return members(r, v, c == '{');
	case '"':
		r->p++;
		v->s = text(r, &v->n);
		v->type = J_STR;
		return v->s;
	case 't':
		return word(r, "true", v, J_TRUE);
	case 'f':
		return word(r, "false", v, J_FALSE);
	case 'n':
		return word(r, "null", v, J_NULL);
	default:
		if (c == '-' || (unsigned)(c - '0') < 10)
			return number(r, v);
		return wrong(r, r->p == r->end ? "it ends too early" :
			     "what stands here is no value");
	}
}

static bool value(struct reader *r, struct jval *v)
{
	bool ok = ++r->depth <= MAX_DEPTH ? one_value(r, v) :
		wrong(r, "more than 2048 levels");

	r->depth--;
	return ok;
}

const struct jval *jdoc_parse(struct jdoc *d, char *s, size_t len,
			      const char *name, struct strbuf *err)
{
	struct reader r = { .d = d, .p = s, .end = s + len, .line_start = s,
			    .line = 1 };
	struct jval *v;
	char c;

	drop_older(d);
	d->guess = len / 16 + 8;
	v = new_val(d);
	v->key = NULL;
	v->next = NULL;
	v->tag = 0;
	c = blank(&r);
	if (c != '{' && c != '[')
		wrong(&r, "neither an object nor an array");
	else if (value(&r, v) && (blank(&r), r.p < r.end))
		wrong(&r, "something stands behind the end");
	if (!r.why)
		return v;
	strbuf_addf(err, "%s is not valid JSON: line %zu, column %zu: %s",
		    name, r.line, (size_t)(r.where - r.line_start) + 1,
		    r.why);
	return NULL;
}

const struct jval *jdoc_copy(struct jdoc *d, const json_t *j)
{
	char *s = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(17));
	struct strbuf no = STRBUF_INIT;
	const struct jval *v;

	if (!s)
		BUG("a document that cannot be written");
	v = jdoc_parse(d, s, strlen(s), "the copy", &no);
	if (!v)
		BUG("a document that cannot be read again: %s", no.buf);
	d->text = s;
	return v;
}
