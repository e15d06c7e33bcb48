#include "strmap.h"

static uint64_t hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325;	/* FNV-1a */

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3;
	return h ^ h >> 32;
}

static size_t place(const struct strmap *m, const char *key)
{
	size_t i = hash(key) & (m->alloc - 1);

	while (m->v[i].key && strcmp(m->v[i].key, key))
		i = (i + 1) & (m->alloc - 1);
	return i;
}

void *strmap_get(const struct strmap *m, const char *key)
{
	return m->n ? m->v[place(m, key)].value : NULL;
}

static void grow(struct strmap *m)
{
	struct strmap old = *m;
	size_t i;

	m->alloc = old.alloc ? old.alloc * 2 : 64;
	m->v = xcalloc(m->alloc, sizeof(*m->v));
	for (i = 0; i < old.alloc; i++)
		if (old.v[i].key)
			m->v[place(m, old.v[i].key)] = old.v[i];
	free(old.v);
}

void *strmap_set(struct strmap *m, const char *key, void *value)
{
	void *had;
	size_t i;

	if (m->n * 2 >= m->alloc)
		grow(m);
	i = place(m, key);
	had = m->v[i].value;
	m->n += !had;
	m->v[i].key = key;
	m->v[i].value = value;
	return had;
}

void strmap_release(struct strmap *m)
{
	free(m->v);
	*m = (struct strmap)STRMAP_INIT;
}
