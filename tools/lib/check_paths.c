#include "check_paths.h"
#include "outfile.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define MAX_THREADS 15

static void add_path(struct paths *ps, const char *full, const char *name)
{
	struct path *p;
	char *s, *save = NULL, *dot;

	if (ps->n == ps->alloc) {
		ps->alloc = ps->alloc * 2 + 64;
		ps->v = xrealloc(ps->v, ps->alloc * sizeof(*ps->v));
	}
	p = &ps->v[ps->n++];
	*p = (struct path){ .full = xstrdup(full), .copy = xstrdup(full),
			    .stem = xstrdup(name), .c = {
		.dataset = ps->base->dataset, .dirfd = ps->base->dirfd,
		.templates = ps->base->templates } };
	for (s = strtok_r(p->copy, "/", &save); s && p->n < 6;
	     s = strtok_r(NULL, "/", &save))
		p->part[p->n++] = s;
	if (s)
		p->n = 7;
	dot = strrchr(p->stem, '.');
	if (dot)
		*dot = '\0';
	p->c.file = p->full;
}

static bool is_folder(const struct dirent *e, const char *full)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return !lstat(full, &st) && S_ISDIR(st.st_mode);
}

static void list(struct paths *ps, const char *rel, int depth)
{
	struct strbuf full = STRBUF_INIT, sub = STRBUF_INIT;
	struct dirent **v = NULL;
	int n, i;

	strbuf_addf(&full, "%s/%s", ps->base->dataset, rel);
	n = depth < 8 ? scandir(full.buf, &v, dir_visible, dir_by_name) : -1;
	for (i = 0; i < n; i++) {
		strbuf_reset(&sub);
		strbuf_addf(&sub, "%s/%s", rel, v[i]->d_name);
		strbuf_reset(&full);
		strbuf_addf(&full, "%s/%s", ps->base->dataset, sub.buf);
		if (is_folder(v[i], full.buf))
			list(ps, sub.buf, depth + 1);
		else
			add_path(ps, sub.buf, v[i]->d_name);
		free(v[i]);
	}
	free(v);
	strbuf_release(&full);
	strbuf_release(&sub);
}

/* ---- side by side ---- */

struct work_list {
	struct paths *ps;
	void (*fn)(struct path *p);
	atomic_size_t next;
};

static void *worker(void *data)
{
	struct work_list *w = data;
	size_t i;

	while ((i = atomic_fetch_add(&w->next, 8)) < w->ps->n) {
		size_t end = i + 8 < w->ps->n ? i + 8 : w->ps->n;

		for (; i < end; i++)
			w->fn(&w->ps->v[i]);
	}
	return NULL;
}

void paths_list(struct paths *ps, const char *folder)
{
	list(ps, folder, 0);
}

void paths_each(struct paths *ps, void (*fn)(struct path *p))
{
	struct work_list w = { .ps = ps, .fn = fn };
	pthread_t t[MAX_THREADS];
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = 0;

	while (n + 1 < (size_t)(cpus > 0 ? cpus : 1) && n < MAX_THREADS &&
	       n < ps->n / 16 && !pthread_create(&t[n], NULL, worker, &w))
		n++;
	worker(&w);
	while (n > 0)
		pthread_join(t[--n], NULL);
}

void paths_release(struct paths *ps)
{
	size_t i;

	for (i = 0; i < ps->n; i++) {
		check_release(&ps->v[i].c);
		json_decref(ps->v[i].d);
		free(ps->v[i].full);
		free(ps->v[i].copy);
		free(ps->v[i].stem);
	}
	free(ps->v);
}
