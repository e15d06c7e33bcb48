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
};

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
		a->taken++;
		pthread_cond_broadcast(&a->changed);
		pthread_mutex_unlock(&a->lock);
	}
	return ret;
}

void dump_ahead_end(struct dump_ahead *a)
{
	if (a->at != a->n)
		BUG("%zu of %zu calls were taken", a->at, a->n);
	while (a->threads)
		pthread_join(a->thread[--a->threads], NULL);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->changed);
	free(a);
}
