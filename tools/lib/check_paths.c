#include "check_paths.h"
#include "fileio.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define MAX_THREADS 15
#define MAX_LEVELS 8
#define AT_ONCE 8		/* items that a thread takes at a time */

/* ---- side by side ---- */

struct items {
	void *data;
	size_t from, to;
	void (*fn)(void *data, size_t i, struct reader *r);
	atomic_size_t next;
};

static void *worker(void *data)
{
	struct items *it = data;
	struct reader r = { .buf = { NULL, NULL } };
	size_t i;

	while ((i = atomic_fetch_add(&it->next, AT_ONCE)) < it->to) {
		size_t end = i + AT_ONCE < it->to ? i + AT_ONCE : it->to;

		for (; i < end; i++)
			it->fn(it->data, i, &r);
	}
	jdoc_release(&r.doc);
	jdoc_release(&r.line);
	check_blob_close(&r.blob);
	free(r.buf[0]);
	free(r.buf[1]);
	return NULL;
}

static void each(void *data, size_t from, size_t to,
		 void (*fn)(void *data, size_t i, struct reader *r))
{
	struct items it = { data, from, to, fn, from };
	pthread_t t[MAX_THREADS];
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = 0;

	while (n + 1 < (size_t)(cpus > 0 ? cpus : 1) && n < MAX_THREADS &&
	       n < (to - from) / (2 * AT_ONCE) &&
	       !pthread_create(&t[n], NULL, worker, &it))
		n++;
	worker(&it);
	while (n > 0)
		pthread_join(t[--n], NULL);
}

/* ---- folders ---- */

static bool is_folder(int dirfd, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return !fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
		S_ISDIR(st.st_mode);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_name(char ***v, size_t *n, const char *name)
{
	*v = xroom(*v, *n, sizeof(**v));
	(*v)[(*n)++] = xstrdup(name);
}

static void unlisted(struct folder *f, int error)
{
	check_error(&f->c, "the folder cannot be listed: %s", strerror(error));
}

static void list_one(void *data, size_t i, struct reader *r)
{
	struct folders *fs = data;
	struct folder *f = &fs->v[i];
	int fd = openat(fs->base->dirfd, f->rel, O_RDONLY | O_DIRECTORY |
			O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	(void)r;
	if (!dir) {
		/* a part of a dataset that is not there is none */
		if (i || errno != ENOENT)
			unlisted(f, errno);
		if (fd >= 0)
			close(fd);
		return;
	}
	while (errno = 0, e = readdir(dir)) {
		if (e->d_name[0] == '.')
			continue;
		if (is_folder(fd, e))
			add_name(&f->folders, &f->nfolders, e->d_name);
		else
			add_name(&f->files, &f->nfiles, e->d_name);
	}
	if (errno)
		unlisted(f, errno);
	closedir(dir);
	if (f->nfiles)
		qsort(f->files, f->nfiles, sizeof(*f->files), by_text);
	if (f->nfolders)
		qsort(f->folders, f->nfolders, sizeof(*f->folders), by_text);
}

static void add_folder(struct folders *fs, char *rel)
{
	struct folder *f;

	fs->v = xroom(fs->v, fs->n, sizeof(*fs->v));
	f = &fs->v[fs->n++];
	*f = (struct folder){ .rel = rel, .c = *fs->base };
	f->c.file = rel;
	f->c.section = "layout";
}

void folders_list(struct folders *fs, const char *top)
{
	size_t from = 0, to, i, k;
	int level;

	add_folder(fs, xstrdup(top));
	for (level = 0; from < fs->n; from = to, level++) {
		to = fs->n;
		if (level < MAX_LEVELS)
			each(fs, from, to, list_one);
		for (i = from; i < to; i++) {
			if (level == MAX_LEVELS)
				unlisted(&fs->v[i], ELOOP);
			for (k = 0; k < fs->v[i].nfolders; k++)
				add_folder(fs, strbuf_text("%s/%s",
					fs->v[i].rel, fs->v[i].folders[k]));
		}
	}
}

struct each_folder {
	struct folders *fs;
	void (*fn)(struct folder *f);
};

static void one_folder(void *data, size_t i, struct reader *r)
{
	struct each_folder *e = data;

	(void)r;
	e->fn(&e->fs->v[i]);
}

void folders_each(struct folders *fs, void (*fn)(struct folder *f))
{
	struct each_folder e = { fs, fn };

	each(&e, 0, fs->n, one_folder);
}

void folders_release(struct folders *fs)
{
	size_t i, k;

	for (i = 0; i < fs->n; i++) {
		struct folder *f = &fs->v[i];

		for (k = 0; k < f->nfiles; k++)
			free(f->files[k]);
		for (k = 0; k < f->nfolders; k++)
			free(f->folders[k]);
		free(f->files);
		free(f->folders);
		free(f->rel);
		check_release(&f->c);
	}
	free(fs->v);
}

/* ---- files ---- */

static void set_path(struct path *p, const struct check *base,
		     const char *folder, const char *name)
{
	char *s, *save = NULL, *dot;

	*p = (struct path){ .full = strbuf_text("%s/%s", folder, name),
			    .stem = xstrdup(name), .c = *base };
	p->copy = xstrdup(p->full);
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

void paths_list(struct paths *ps, const char *top)
{
	struct folders fs = { ps->base, NULL, 0 };
	size_t n = 0, i, k;

	folders_list(&fs, top);
	for (i = 0; i < fs.n; i++)
		n += fs.v[i].nfiles + !!fs.v[i].c.errors;
	ps->v = xcalloc(n, sizeof(*ps->v));
	for (i = 0; i < fs.n; i++) {
		struct folder *f = &fs.v[i];

		for (k = 0; k < f->nfiles; k++)
			set_path(&ps->v[ps->n++], ps->base, f->rel,
				 f->files[k]);
		if (!f->c.errors)
			continue;
		/* a path of its own, with the finding */
		ps->v[ps->n] = (struct path){ .full = xstrdup(f->rel),
			.copy = xstrdup(""), .stem = xstrdup(""), .c = f->c };
		ps->v[ps->n].c.file = ps->v[ps->n].full;
		ps->n++;
		f->c = *ps->base;
	}
	folders_release(&fs);
}

struct each_path {
	struct paths *ps;
	void (*fn)(struct path *p, struct reader *r);
};

static void one_path(void *data, size_t i, struct reader *r)
{
	struct each_path *e = data;

	if (e->ps->v[i].n)
		e->fn(&e->ps->v[i], r);
}

void paths_each(struct paths *ps, void (*fn)(struct path *p,
					     struct reader *r))
{
	struct each_path e = { ps, fn };

	each(&e, 0, ps->n, one_path);
}

void paths_release(struct paths *ps)
{
	size_t i;

	for (i = 0; i < ps->n; i++) {
		check_release(&ps->v[i].c);
		free(ps->v[i].op_type);
		free(ps->v[i].full);
		free(ps->v[i].copy);
		free(ps->v[i].stem);
	}
	free(ps->v);
}

char *path_read(struct path *p, struct reader *r, int which, size_t max,
		size_t *n, struct strbuf *err)
{
	int fd = openat(p->c.dirfd, p->full, O_RDONLY | O_CLOEXEC |
			O_NONBLOCK);
	struct stat st;
	bool ok;

	ok = fd >= 0 && !fstat(fd, &st);
	*n = ok ? (size_t)st.st_size : 0;
	if (ok && (!S_ISREG(st.st_mode) || *n > max)) {
		strbuf_addf(err, "it is %s", S_ISREG(st.st_mode) ? "larger"
			    " than such a file can be" : "no regular file");
	} else if (ok) {
		if (r->size[which] < *n + 1) {
			free(r->buf[which]);
			r->size[which] = *n + *n / 2 + 4096;
			r->buf[which] = xmalloc(r->size[which]);
		}
		errno = EIO;	/* where the file ends early */
		ok = !file_get(fd, r->buf[which], *n, 0);
		r->buf[which][*n] = '\0';
	}
	if (!ok)
		strbuf_addf(err, "it cannot be read: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok && !err->len ? r->buf[which] : NULL;
}
