/*
 * servlog.h - what a serving engine's log says when things go wrong.
 */
#ifndef ONBOARD_SERVLOG_H
#define ONBOARD_SERVLOG_H

#include "strbuf.h"

/* 0 when there is none. */
off_t servlog_size(const char *path);
/* Whether a text tells of memory that was not enough (PyTorch's, SGLang's). */
bool servlog_is_memory(const char *text);
/*
 * Appends the reason that the log gives after `from`: the last line that tells
 * of an error, else the last one. True: it ran out of memory.
 */
bool servlog_reason(const char *path, off_t from, struct strbuf *why);
/* Appends the FlashInfer APIs that the log names, each once, "a, b". */
void servlog_apis(const char *path, struct strbuf *names);

#endif
