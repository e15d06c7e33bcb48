/*
 * die.h - the end of a tool that cannot do its work.
 *
 * die() prints "tool: sentence" on standard error, control characters of
 * foreign bytes made harmless, records code and sentence in the file given
 * by --failed (read by `make status` and scripts/onboard-model), and exits.
 * Only main files call it; see base.h for the codes.
 */
#ifndef ONBOARD_DIE_H
#define ONBOARD_DIE_H

#include "base.h"

void die_init(const char *tool);
const char *die_tool(void);
/* Records a failure here as well; a former record of this tool is removed. */
void die_record_to(const char *path);
void die(int code, const char *fmt, ...) NORETURN PRINTF(2, 3);
void warn(const char *fmt, ...) PRINTF(1, 2);
/* Ends main: flushes standard output, so that a full disk is not silent. */
int done(void);

/*
 * Tells a terminal how far long work is (items, share, time left), a few
 * times a second and in one line; silent elsewhere. The last call has
 * at == of.
 */
void progress(const char *what, size_t at, size_t of);

#endif
