/*
 * dumpspool.h - an archive of dumps (.tar.zst and what else libarchive
 * reads), unpacked in one pass to what matters: metadata.jsonl, the headers
 * and the integer tensors and scalars. Other float data is passed over; the
 * files are sparse, so that offsets and sizes are those of the originals.
 */
#ifndef ONBOARD_DUMPSPOOL_H
#define ONBOARD_DUMPSPOOL_H

#include "strbuf.h"

/*
 * Unpacks the calls that want() says, by function, below dir, which exists.
 * 0, or -1 with a sentence. An archive that is cut gives what came before
 * and the sentence in `cut`.
 */
int dump_spool(const char *archive, const char *dir,
	       bool (*want)(const char *function), struct strbuf *cut,
	       struct strbuf *err);
/*
 * ARG itself if it is a folder; else a folder below TMPDIR to which the
 * archive was unpacked, until dump_spool_remove(). NULL with a sentence.
 */
const char *dump_spool_folder(const char *arg,
			      bool (*want)(const char *function),
			      struct strbuf *cut, struct strbuf *err);
void dump_spool_remove(void);

#endif
