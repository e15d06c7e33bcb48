#include "dumpahead.h"

#include <pthread.h>

#define CHUNK 16		/* calls that are handed over at once */
#define SLOTS 4			/* chunks that are open at a time */
#define MAX_THREADS 4

struct chunk {
	struct dump d[CHUNK];
	struct strbuf err[CHUNK];
	int ret[CHUNK];
	bool ready;
	struct dump *gone;	/* to be closed by who opens the next calls */
	size_t ngone;
};

struct dump_ahead {
	int dirfd;
	const char *const *folders;
	size_t n, begun, taken, at;	/* begun and taken count chunks */
	struct chunk slot[SLOTS];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread[MAX_THREADS];
	size_t threads;
	struct dump *gone;
	size_t ngone, room;
};

static void close_all(struct dump *d, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		dump_close(&d[i]);
	free(d);
}

/* Opens the next chunk that nobody has begun; false: there is none now. */
static bool open_one(struct dump_ahead *a)
{
	struct chunk *c;
	size_t i, k;

	if (a->begun * CHUNK >= a->n || a->begun - a->taken == SLOTS)
		return false;
	k = a->begun++;
	c = &a->slot[k % SLOTS];
	pthread_mutex_unlock(&a->lock);
	close_all(c->gone, c->ngone);
	c->gone = NULL;
	c->ngone = 0;
	for (i = 0; i < CHUNK && k * CHUNK + i < a->n; i++) {
		c->err[i] = (struct strbuf)STRBUF_INIT;
		c->ret[i] = dump_open(&c->d[i], a->dirfd,
				      a->folders[k * CHUNK + i], &c->err[i]);
	}
	pthread_mutex_lock(&a->lock);
	c->ready = true;
	pthread_cond_broadcast(&a->changed);
	return true;
}

static void *opener(void *data)
{
	struct dump_ahead *a = data;

	pthread_mutex_lock(&a->lock);
	while (a->begun * CHUNK < a->n)
		if (!open_one(a))
			pthread_cond_wait(&a->changed, &a->lock);
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

struct dump_ahead *dump_ahead_start(int dirfd, const char *const *folders,
				    size_t n)
{
	struct dump_ahead *a = xcalloc(1, sizeof(*a));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	a->dirfd = dirfd;
	a->folders = folders;
	a->n = n;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
	json_object_seed(0);	/* before there are threads */
	while (n >= CHUNK * SLOTS && a->threads + 1 < (size_t)(cpus > 0 ? cpus : 1) &&
	       a->threads < MAX_THREADS &&
	       !pthread_create(&a->thread[a->threads], NULL, opener, a))
		a->threads++;
	return a;
}

int dump_ahead_next(struct dump_ahead *a, struct dump *d, struct strbuf *err)
{
	size_t i = a->at++ % CHUNK;
	struct chunk *c = &a->slot[a->taken % SLOTS];
	int ret;

	if (!i) {
		pthread_mutex_lock(&a->lock);
		while (!c->ready)
			if (a->begun > a->taken || !open_one(a))
				pthread_cond_wait(&a->changed, &a->lock);
		pthread_mutex_unlock(&a->lock);
	}
	*d = c->d[i];
	ret = c->ret[i];
	strbuf_addstr(err, c->err[i].buf);
	strbuf_release(&c->err[i]);
	if (i == CHUNK - 1 || a->at == a->n) {
		pthread_mutex_lock(&a->lock);
		c->ready = false;
		c->gone = a->gone;
		c->ngone = a->ngone;
		a->gone = NULL;
		a->ngone = a->room = 0;
		a->taken++;
		pthread_cond_broadcast(&a->changed);
		pthread_mutex_unlock(&a->lock);
	}
	return ret;
}

void dump_ahead_drop(struct dump_ahead *a, struct dump *d)
{
	if (a->ngone == a->room) {
		a->room = a->room * 2 + CHUNK;
		a->gone = xrealloc(a->gone, a->room * sizeof(*a->gone));
	}
	a->gone[a->ngone++] = *d;
}

void dump_ahead_end(struct dump_ahead *a)
{
	size_t i;

	if (a->at != a->n)
		BUG("%zu of %zu calls were taken", a->at, a->n);
	while (a->threads)
		pthread_join(a->thread[--a->threads], NULL);
	for (i = 0; i < SLOTS; i++)
		close_all(a->slot[i].gone, a->slot[i].ngone);
	close_all(a->gone, a->ngone);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->changed);
	free(a);
}
