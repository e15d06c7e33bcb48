/*
 * outfile.h - files that are either absent or whole.
 *
 * Bytes go to ".NAME.tmp" beside the target, which is renamed on commit, so
 * a reader sees the old file, the new one, or none. The temporary name is
 * fixed and locked (flock): what a killed run left there is written over by
 * the next one, and two runs of the same rule do not mix. Missing folders
 * are made.
 *
 * outfile_write() does all of it at once. "-" as path is standard output.
 * Returns 0, or -1 with a sentence in err and the target as it was. errno is
 * kept so that the caller can tell EWOULDBLOCK (another run writes it).
 */
#ifndef ONBOARD_OUTFILE_H
#define ONBOARD_OUTFILE_H

#include "strbuf.h"

#include <dirent.h>

int outfile_write(const char *path, const void *data, size_t len,
		  struct strbuf *err);
/* As outfile_write, but an equal file is only given a new time. */
int outfile_renew(const char *path, const void *data, size_t len,
		  struct strbuf *err);
int outfile_mkdirs(const char *path, struct strbuf *err);
/*
 * Opens and locks `path` (made if missing) until the process ends or the
 * descriptor is closed. Waits at most that many seconds for its holder.
 */
int outfile_lock(const char *path, int seconds, struct strbuf *err);
/* rm -r of what lies at path; symbolic links are not followed. */
int outfile_remove_tree(const char *path, struct strbuf *err);

/* For scandir(): visible names; those that end in .json; in byte order. */
int dir_visible(const struct dirent *e);
int dir_json(const struct dirent *e);
int dir_by_name(const struct dirent **a, const struct dirent **b);

#endif
