#include "sim_cache.h"

struct sim_node {
	struct sim_node *parent, *child, *next;	/* next: of the siblings */
	int *tokens, *pages;
	int n;			/* tokens; whole pages */
	int users;		/* requests that hold it or one below */
	long used;		/* when it was last matched */
};

struct sim_cache {
	int page, pages;
	int *free_list;		/* a ring of page numbers */
	int head, nfree;
	long clock, idle;	/* idle: tokens in the tree that nobody holds */
	struct sim_node root;
};

struct sim_cache *sim_cache_new(int slots, int page_size)
{
	struct sim_cache *c = xcalloc(1, sizeof(*c));
	int i;

	c->page = page_size;
	c->pages = slots / page_size;
	c->free_list = xcalloc((size_t)c->pages, sizeof(int));
	for (i = 0; i < c->pages; i++)
		c->free_list[i] = i + 1;
	c->nfree = c->pages;
	c->root.users = 1;
	return c;
}

static void free_below(struct sim_node *n)
{
	struct sim_node *c, *next;

	for (c = n->child; c; c = next) {
		next = c->next;
		free_below(c);
		free(c->tokens);
		free(c->pages);
		free(c);
	}
}

void sim_cache_free(struct sim_cache *c)
{
	free_below(&c->root);
	free(c->free_list);
	free(c);
}

int sim_cache_page(const struct sim_cache *c)
{
	return c->page;
}

int sim_cache_pages(const struct sim_cache *c)
{
	return c->pages + 1;
}

long sim_cache_available(const struct sim_cache *c)
{
	return (long)c->nfree * c->page + c->idle;
}

static void give_back(struct sim_cache *c, int page)
{
	c->free_list[(c->head + c->nfree) % c->pages] = page;
	c->nfree++;
}

/* ---- the tree ---- */

static int common(const struct sim_node *k, const int *tokens, int n, int page)
{
	int i, most = k->n < n ? k->n : n;

	for (i = 0; i < most && k->tokens[i] == tokens[i]; i++)
		;
	return i / page * page;
}

static struct sim_node *new_node(struct sim_cache *c, struct sim_node *parent,
				 const int *tokens, int n, const int *pages)
{
	struct sim_node *k = xcalloc(1, sizeof(*k));

	k->parent = parent;
	k->n = n;
	k->tokens = xcalloc((size_t)n, sizeof(int));
	k->pages = xcalloc((size_t)(n / c->page), sizeof(int));
	memcpy(k->tokens, tokens, (size_t)n * sizeof(int));
	memcpy(k->pages, pages, (size_t)(n / c->page) * sizeof(int));
	k->next = parent->child;
	parent->child = k;
	return k;
}

/*
 * Cuts a node at n tokens: a new one above it takes the first ones. The node
 * itself stays the lower part, for whoever has locked it has both.
 */
static struct sim_node *split(struct sim_cache *c, struct sim_node *k, int n)
{
	struct sim_node **p = &k->parent->child, *up;
	int m = n / c->page;

	up = new_node(c, k->parent, k->tokens, n, k->pages);
	up->users = k->users;
	while (*p != k)
		p = &(*p)->next;
	*p = k->next;
	k->next = NULL;
	k->parent = up;
	up->child = k;
	k->n -= n;
	memmove(k->tokens, k->tokens + n, (size_t)k->n * sizeof(int));
	memmove(k->pages, k->pages + m, (size_t)(k->n / c->page) *
		sizeof(int));
	return up;
}

/* Follows the tokens; *rest is the number that the tree has not. */
static struct sim_node *descend(struct sim_cache *c, const int *tokens, int n,
				int *pages, int *have)
{
	struct sim_node *at = &c->root, *k;
	int m;

	*have = 0;
	c->clock++;
	for (;;) {
		for (k = at->child; k; k = k->next)
			if ((m = common(k, tokens + *have, n - *have,
					c->page)))
				break;
		if (!k)
			return at;
		if (m < k->n)
			k = split(c, k, m);	/* idle stays: users are equal */
		if (pages)
			memcpy(pages + *have / c->page, k->pages,
			       (size_t)(m / c->page) * sizeof(int));
		k->used = c->clock;
		*have += m;
		at = k;
	}
}

static void lock(struct sim_cache *c, struct sim_node *k)
{
	for (; k != &c->root; k = k->parent)
		if (!k->users++)
			c->idle -= k->n;
}

int sim_cache_match(struct sim_cache *c, const int *tokens, int n, int *pages,
		    struct sim_node **node)
{
	int have;

	*node = descend(c, tokens, n / c->page * c->page, pages, &have);
	lock(c, *node);
	return have;
}

void sim_cache_unlock(struct sim_cache *c, struct sim_node *node)
{
	for (; node != &c->root; node = node->parent)
		if (!--node->users)
			c->idle += node->n;
}

static struct sim_node *oldest_leaf(struct sim_node *n,
				    struct sim_node *best)
{
	struct sim_node *k;

	for (k = n->child; k; k = k->next) {
		if (k->child)
			best = oldest_leaf(k, best);
		else if (!k->users && (!best || k->used < best->used))
			best = k;
	}
	return best;
}

static void drop(struct sim_cache *c, struct sim_node *k)
{
	struct sim_node **p = &k->parent->child;
	int i;

	for (i = 0; i < k->n / c->page; i++)
		give_back(c, k->pages[i]);
	c->idle -= k->n;
	while (*p != k)
		p = &(*p)->next;
	*p = k->next;
	free(k->tokens);
	free(k->pages);
	free(k);
}

bool sim_cache_take(struct sim_cache *c, int n, int *pages)
{
	struct sim_node *k;
	int i;

	while (c->nfree < n && (k = oldest_leaf(&c->root, NULL)))
		drop(c, k);
	if (c->nfree < n)
		return false;
	for (i = 0; i < n; i++) {
		pages[i] = c->free_list[c->head];
		c->head = (c->head + 1) % c->pages;
		c->nfree--;
	}
	return true;
}

/*
 * Adds what the tree lacks of whole pages. What it has under other page
 * numbers is given back; kept, if not NULL, gets the tree's.
 */
static struct sim_node *put(struct sim_cache *c, const int *tokens, int whole,
			    const int *pages, int *kept)
{
	struct sim_node *at, *up;
	int have, i, k;

	at = descend(c, tokens, whole, NULL, &have);
	for (up = at, k = have; up != &c->root; up = up->parent) {
		k -= up->n;
		for (i = 0; i < up->n / c->page; i++) {
			if (up->pages[i] == pages[k / c->page + i])
				continue;
			give_back(c, pages[k / c->page + i]);
			if (kept)
				kept[k / c->page + i] = up->pages[i];
		}
	}
	if (whole == have)
		return at;
	at = new_node(c, at, tokens + have, whole - have,
		      pages + have / c->page);
	at->used = c->clock;
	c->idle += at->n;
	return at;
}

void sim_cache_share(struct sim_cache *c, const int *tokens, int n, int *pages,
		     struct sim_node **node)
{
	struct sim_node *had = *node;

	*node = put(c, tokens, n / c->page * c->page, pages, pages);
	lock(c, *node);
	if (had)
		sim_cache_unlock(c, had);
}

void sim_cache_insert(struct sim_cache *c, const int *tokens, int n,
		      const int *pages, int npages)
{
	int i = n / c->page;

	put(c, tokens, i * c->page, pages, NULL);
	for (; i < npages; i++)
		give_back(c, pages[i]);
}
