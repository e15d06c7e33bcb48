/* sha256.h - SHA-256 in lower-case hexadecimal, computed by libcrypto. */
#ifndef ONBOARD_SHA256_H
#define ONBOARD_SHA256_H

#include "strbuf.h"

#define SHA256_HEX 65	/* 64 digits and a NUL */

void sha256_bytes(char hex[SHA256_HEX], const void *data, size_t len);
/* The file streamed through; -1 with a sentence in err. */
int sha256_file(char hex[SHA256_HEX], const char *path, struct strbuf *err);

#endif
