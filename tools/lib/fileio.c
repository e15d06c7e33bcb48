#include "fileio.h"

#include <fcntl.h>

int file_get(int fd, void *buf, size_t n, uint64_t at)
{
	char *p = buf;
	ssize_t r;

	while (n) {
		r = pread(fd, p, n, (off_t)at);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return -1;
		p += r;
		at += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

int file_put(int fd, const void *buf, size_t n, uint64_t at)
{
	const char *p = buf;
	ssize_t w;

	while (n) {
		w = pwrite(fd, p, n, (off_t)at);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return -1;
		p += w;
		at += (uint64_t)w;
		n -= (size_t)w;
	}
	return 0;
}

void *file_piece(const char *path, uint64_t at, size_t n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *buf = NULL;

	if (fd < 0)
		return NULL;
	buf = xmalloc(n + 1);
	errno = EIO;		/* what the file's end leaves */
	if (file_get(fd, buf, n, at)) {
		free(buf);
		buf = NULL;
	}
	close(fd);
	return buf;
}
