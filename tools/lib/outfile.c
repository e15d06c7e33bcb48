#include "outfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

int outfile_mkdirs(const char *path, struct strbuf *err)
{
	char *p = xstrdup(path), *s;
	int ret = 0;

	for (s = p + 1; (s = strchr(s, '/')); s++) {
		*s = '\0';
		if (mkdir(p, 0777) && errno != EEXIST) {
			strbuf_addf(err, "unable to make folder %s: %s", p,
				    strerror(errno));
			ret = -1;
			break;
		}
		*s = '/';
	}
	free(p);
	return ret;
}

static char *temp_name(const char *path)
{
	const char *base = strrchr(path, '/');
	struct strbuf sb = STRBUF_INIT;

	base = base ? base + 1 : path;
	strbuf_add(&sb, path, (size_t)(base - path));
	strbuf_addf(&sb, ".%s.tmp", base);
	return strbuf_detach(&sb);
}

/* The lock only counts if the name still leads to the file we locked. */
static int open_locked(const char *tmp)
{
	struct stat a, b;
	int fd;

	for (;;) {
		fd = open(tmp, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
		if (fd < 0)
			return -1;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			int e = errno;

			close(fd);
			errno = e;
			return -1;
		}
		if (!fstat(fd, &a) && !stat(tmp, &b) && a.st_ino == b.st_ino &&
		    a.st_dev == b.st_dev)
			return fd;
		close(fd);
	}
}

static int write_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A device or a pipe is written to; renaming would put a file in its place. */
static int write_into(const char *path, const void *data, size_t len,
		      struct strbuf *err)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY), ret;

	ret = fd < 0 ? -1 : write_all(fd, data, len);
	if (ret)
		strbuf_addf(err, "unable to write %s: %s", path,
			    strerror(errno));
	if (fd >= 0)
		close(fd);
	return ret;
}

int outfile_write(const char *path, const void *data, size_t len,
		  struct strbuf *err)
{
	struct stat st;
	char *tmp;
	int fd, e;

	if (!strcmp(path, "-")) {
		if (fwrite(data, 1, len, stdout) != len || fflush(stdout)) {
			strbuf_addf(err, "unable to write standard output: %s",
				    strerror(errno));
			return -1;
		}
		return 0;
	}
	if (!stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return write_into(path, data, len, err);
	if (outfile_mkdirs(path, err))
		return -1;
	tmp = temp_name(path);
	fd = open_locked(tmp);
	if (fd < 0)
		goto fail_open;
	if (ftruncate(fd, 0) || write_all(fd, data, len) ||
	    rename(tmp, path)) {
		e = errno;
		unlink(tmp);
		close(fd);
		errno = e;
		goto fail_open;
	}
	close(fd);
	free(tmp);
	return 0;
fail_open:
	e = errno;
	strbuf_addf(err, "unable to write %s: %s", path,
		    e == EWOULDBLOCK ? "another run is writing it"
				     : strerror(e));
	free(tmp);
	errno = e;
	return -1;
}

int outfile_renew(const char *path, const void *data, size_t len,
		  struct strbuf *err)
{
	struct strbuf old = STRBUF_INIT, no = STRBUF_INIT;
	bool same = !strbuf_read_file(&old, path, &no) && old.len == len &&
		!memcmp(old.buf, data, len);

	strbuf_release(&old);
	strbuf_release(&no);
	if (same && !utimensat(AT_FDCWD, path, NULL, 0))
		return 0;
	return outfile_write(path, data, len, err);
}

int outfile_lock(const char *path, int seconds, struct strbuf *err)
{
	struct timespec nap = { 0, 50 * 1000000 };
	int fd, tries = seconds * 20, e;

	if (outfile_mkdirs(path, err))
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
		e = errno;
		if ((e == EWOULDBLOCK && tries-- > 0) || e == EINTR) {
			nanosleep(&nap, NULL);
			continue;
		}
		close(fd);
		fd = -1;
		errno = e;
	}
	if (fd < 0)
		strbuf_addf(err, "unable to lock %s: %s", path,
			    errno == EWOULDBLOCK ? "another run holds it"
						 : strerror(errno));
	return fd;
}

static int remove_at(int dirfd, const char *name)
{
	struct dirent *e;
	DIR *d;
	int fd, ret = 0;

	if (!unlinkat(dirfd, name, 0) || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
		    O_CLOEXEC);
	if (fd < 0 || !(d = fdopendir(fd)))
		return -1;
	while (!ret && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			ret = remove_at(fd, e->d_name);
	closedir(d);
	return ret ? ret : unlinkat(dirfd, name, AT_REMOVEDIR);
}

int outfile_remove_tree(const char *path, struct strbuf *err)
{
	if (!remove_at(AT_FDCWD, path))
		return 0;
	strbuf_addf(err, "unable to remove %s: %s", path, strerror(errno));
	return -1;
}

int dir_visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

int dir_json(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return dir_visible(e) && n > 5 && !strcmp(e->d_name + n - 5, ".json");
}

int dir_by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}
