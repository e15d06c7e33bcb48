/*
 * jdoc.h - JSON that is only read: many small documents, one after another.
 *
 * json.h is for documents that are changed and written. Where tens of
 * thousands are looked at and dropped (a dataset's files, the records of a
 * serving run), a tree of separately kept values costs several times what
 * the bytes themselves do; here a document is cut up where it stands in the
 * caller's buffer, and its values lie in a block that the next document uses
 * again.
 *
 * What is accepted is what json_parse() accepts, and fuzzed against it: an
 * object or array at the top, no duplicate keys, valid UTF-8, no NUL, whole
 * numbers within 64 bits, at most 2048 levels.
 */
#ifndef ONBOARD_JDOC_H
#define ONBOARD_JDOC_H

#include "json.h"

enum jtype { J_NULL, J_FALSE, J_TRUE, J_INT, J_REAL, J_STR, J_ARR, J_OBJ };

struct jval {
	const char *key;	/* of a member; NULL elsewhere */
	struct jval *next;	/* member or element, in the order written */
	union {
		const char *s;	/* NUL-terminated */
		int64_t i;
		double d;
		struct jval *first;
	};
	uint32_t n;		/* bytes of a text; members, elements */
	uint32_t type : 4, tag : 28;	/* enum jtype; jv_tag() of the key */
};

struct jblock;

struct jdoc {
	struct jblock *blocks;	/* the newest first */
	size_t used;		/* of it */
	size_t guess;		/* how many values the first one is for */
	char *text;		/* of jdoc_copy() */
};

#define JDOC_INIT { NULL, 0, 0, NULL }

/*
 * Reads text[0 .. len) and writes into it: the values point there. What the
 * document held before is gone. NULL with a sentence in err.
 */
const struct jval *jdoc_parse(struct jdoc *d, char *text, size_t len,
			      const char *name, struct strbuf *err);
/* The same values as j has, in a text of the document's own. */
const struct jval *jdoc_copy(struct jdoc *d, const json_t *j);
void jdoc_release(struct jdoc *d);

/* Tells most keys from each other without looking at them. */
static inline uint32_t jv_tag(const char *key, size_t n)
{
	return n ? ((uint32_t)n & 0xfff) << 16 |
		   (uint32_t)(unsigned char)key[0] << 8 |
		   (unsigned char)key[n - 1] : 0;
}

/* All of these take NULL, and what is of another type, as absent. */
static inline const struct jval *jv_first(const struct jval *v)
{
	return v && (v->type == J_OBJ || v->type == J_ARR) ? v->first : NULL;
}

static inline const struct jval *jv_get(const struct jval *o, const char *key)
{
	const struct jval *v = o && o->type == J_OBJ ? o->first : NULL;
	uint32_t tag = jv_tag(key, strlen(key));

	while (v && (v->tag != tag || strcmp(v->key, key)))
		v = v->next;
	return v;
}

static inline const struct jval *jv_at(const struct jval *a, size_t i)
{
	const struct jval *v = a && a->type == J_ARR ? a->first : NULL;

	while (v && i-- > 0)
		v = v->next;
	return v;
}

#define jv_each(v, of) for ((v) = jv_first(of); (v); (v) = (v)->next)

static inline bool jv_is(const struct jval *v, enum jtype type)
{
	return v && v->type == type;
}

static inline bool jv_is_bool(const struct jval *v)
{
	return jv_is(v, J_TRUE) || jv_is(v, J_FALSE);
}

static inline bool jv_is_number(const struct jval *v)
{
	return jv_is(v, J_INT) || jv_is(v, J_REAL);
}

/* Members or elements. */
static inline size_t jv_size(const struct jval *v)
{
	return jv_is(v, J_OBJ) || jv_is(v, J_ARR) ? v->n : 0;
}

static inline const char *jv_str(const struct jval *v)
{
	return jv_is(v, J_STR) ? v->s : NULL;
}

static inline int64_t jv_int(const struct jval *v)
{
	return jv_is(v, J_INT) ? v->i : 0;
}

static inline double jv_number(const struct jval *v)
{
	return jv_is(v, J_REAL) ? v->d : (double)jv_int(v);
}

static inline const char *jv_get_str(const struct jval *o, const char *key)
{
	return jv_str(jv_get(o, key));
}

#endif
