/*
 * fileio.h - all n bytes at an offset, whatever the kernel gives at a time.
 */
#ifndef ONBOARD_FILEIO_H
#define ONBOARD_FILEIO_H

#include "base.h"

/* 0, or -1: the file ends before, or errno tells why. */
int file_get(int fd, void *buf, size_t n, uint64_t at);
/* n bytes of a file, the caller's to free; NULL: errno tells why. */
void *file_piece(const char *path, uint64_t at, size_t n);
int file_put(int fd, const void *buf, size_t n, uint64_t at);

#endif
