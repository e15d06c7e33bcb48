/* evalread.h - bytes of a file, for both devices: these libraries link nothing of tools/lib. */
#ifndef EVALREAD_H
#define EVALREAD_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

/* 0, or -1: the file ends before (errno is 0), or errno tells why. */
static inline int ev_file_get(int fd, void *to, uint64_t at, size_t n)
{
	char *p = (char *)to;
	ssize_t got;

	for (; n; n -= (size_t)got, p += got, at += (uint64_t)got) {
		errno = 0;
		got = pread(fd, p, n, (off_t)at);
		if (got < 0 && errno == EINTR)
			got = 0;
		else if (got <= 0)
			return -1;
	}
	return 0;
}

#endif
