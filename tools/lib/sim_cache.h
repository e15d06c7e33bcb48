/*
 * sim_cache.h - KV memory of the simulated engine: a paged allocator and a
 * radix tree of prefixes, as SGLang has them (mem_cache/allocator.py and
 * radix_cache.py, 0.5.15).
 *
 * Slots are handed out from the front of a free list and come back at its
 * end; slot (or page) 0 is never handed out. With a page size above 1 a
 * request holds whole pages, and only whole pages are shared. The tree keeps
 * the tokens of ended requests until memory is short: then leaves that
 * nobody uses go, the least recently used first.
 */
#ifndef ONBOARD_SIM_CACHE_H
#define ONBOARD_SIM_CACHE_H

#include "base.h"

struct sim_cache;
struct sim_node;

/* slots: tokens; a multiple of page_size. Never NULL. */
struct sim_cache *sim_cache_new(int slots, int page_size);
void sim_cache_free(struct sim_cache *c);
int sim_cache_page(const struct sim_cache *c);
/* Pages of the whole pool, the one that is never handed out included. */
int sim_cache_pages(const struct sim_cache *c);
/* Tokens that could be handed out: free, or held by nobody but the tree. */
long sim_cache_available(const struct sim_cache *c);

/*
 * The longest prefix of the tokens that the tree has, in whole pages: its
 * length, and its pages into `pages` (room for n / page_size). *node is locked
 * until sim_cache_unlock().
 */
int sim_cache_match(struct sim_cache *c, const int *tokens, int n, int *pages,
		    struct sim_node **node);
void sim_cache_unlock(struct sim_cache *c, struct sim_node *node);
/* Takes n pages, making room if need be; false: there are not so many. */
bool sim_cache_take(struct sim_cache *c, int n, int *pages);
/*
 * Lets others share what a request has computed so far, as
 * sim_cache_insert(), but the request goes on: pages that the tree had
 * already take the place of its own, *node is let go, and what is locked
 * for it now is the new *node.
 */
void sim_cache_share(struct sim_cache *c, const int *tokens, int n, int *pages,
		     struct sim_node **node);
/*
 * Gives the tokens of an ended (or retracted) request to the tree, with the
 * pages that hold them; what the tree has already goes back to the free list,
 * as do pages that are not full.
 */
void sim_cache_insert(struct sim_cache *c, const int *tokens, int n,
		      const int *pages, int npages);

#endif
