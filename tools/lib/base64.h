/* base64.h - RFC 4648's base64, with padding; line feeds are read over. */
#ifndef ONBOARD_BASE64_H
#define ONBOARD_BASE64_H

#include "strbuf.h"

void base64_encode(struct strbuf *sb, const void *data, size_t len);
/* Appends the bytes; -1 with a sentence for what is no base64. */
int base64_decode(struct strbuf *sb, const char *text, struct strbuf *err);

#endif
