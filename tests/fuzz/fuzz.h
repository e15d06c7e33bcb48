/* fuzz.h - what the fuzz targets share: bytes as a file that has a path. */
#ifndef ONBOARD_FUZZ_H
#define ONBOARD_FUZZ_H

#include "json.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes the path of an anonymous file with these bytes; close() the result. */
static inline int fuzz_file(char path[64], const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", 0);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, 64, "/proc/self/fd/%d", fd);
	return fd;
}

#endif
