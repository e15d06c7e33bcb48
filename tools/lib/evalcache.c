#include "evalcache.h"
#include "strbuf.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

enum { HALF_AGE = 3600 };

struct cached {
	char *path;
	uint64_t size;
	struct timespec used;
};

static int hold(struct eval_cache *c, const char *path, struct stat *st)
{
	int fd, tries;

	/* one that goes, or is made anew, just now has no name when its lock is ours */
	for (tries = 0; tries < 8 && c->nheld < ARRAY_SIZE(c->held); tries++) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			return -1;
		if (!flock(fd, LOCK_SH) && !fstat(fd, st) && S_ISREG(st->st_mode) && st->st_nlink) {
			futimens(fd, NULL);
			c->held[c->nheld++] = fd;
			return 0;
		}
		close(fd);
	}
	return -1;
}

bool eval_cache_hold(struct eval_cache *c, const char *path)
{
	struct stat st;

	return !hold(c, path, &st);
}

bool eval_cache_add(struct eval_cache *c, const char *path)
{
	struct stat st;

	if (hold(c, path, &st))
		return false;
	c->size += (uint64_t)st.st_size;
	return true;
}

void eval_cache_release(struct eval_cache *c)
{
	while (c->nheld)
		close(c->held[--c->nheld]);
}

void eval_cache_fit(struct eval_cache *c)
{
	/* to the brim at first, when nothing is known; later not file by file */
	if (!c->known)
		eval_cache_trim(c, c->max);
	else if (c->size > c->max)
		eval_cache_trim(c, c->max - c->max / 8);
}

static int by_use(const void *a, const void *b)
{
	const struct timespec *x = &((const struct cached *)a)->used;
	const struct timespec *y = &((const struct cached *)b)->used;

	return x->tv_sec != y->tv_sec ? (x->tv_sec > y->tv_sec) - (x->tv_sec < y->tv_sec) :
		(x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* A file that nobody holds. */
static bool remove_one(const struct cached *f)
{
	/* to write: over NFS an exclusive lock needs it */
	int fd = open(f->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	bool gone = fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB) && !unlink(f->path);

	if (fd >= 0)
		close(fd);
	return gone;
}

static void look_at(const char *dir, const char *name, struct cached **files, size_t *n)
{
	char *path = strbuf_text("%s/%s", dir, name), *dot = strrchr(path, '.');
	struct stat st;

	if (!dot || lstat(path, &st) || !S_ISREG(st.st_mode)) {
		free(path);
	} else if (!strcmp(dot, ".safetensors")) {
		*files = xroom(*files, *n, sizeof **files);
		(*files)[(*n)++] = (struct cached){ path, (uint64_t)st.st_size, st.st_mtim };
	} else {
		if (!strcmp(dot, ".tmp") && st.st_mtime + HALF_AGE < time(NULL))
			unlink(path);
		free(path);
	}
}

uint64_t eval_cache_trim(struct eval_cache *c, uint64_t max)
{
	struct cached *files = NULL;
	uint64_t gone = 0;
	size_t n = 0, i;
	DIR *top = opendir(c->dir), *sub;
	struct dirent *e, *f;

	while (top && (e = readdir(top))) {
		char *dir = strbuf_text("%s/%s", c->dir, e->d_name);

		sub = e->d_name[0] == '.' ? NULL : opendir(dir);
		while (sub && (f = readdir(sub)))
			look_at(dir, f->d_name, &files, &n);
		if (sub)
			closedir(sub);
		free(dir);
	}
	if (top)
		closedir(top);
	c->size = 0;
	c->known = true;
	for (i = 0; i < n; i++)
		c->size += files[i].size;
	if (n)
		qsort(files, n, sizeof *files, by_use);
	for (i = 0; i < n; i++) {
		if (c->size > max && remove_one(&files[i])) {
			c->size -= files[i].size;
			gone += files[i].size;
		}
		free(files[i].path);
	}
	free(files);
	return gone;
}
