/*
 * evalcache.h - the references' outputs, in files named by their content.
 *
 * DIR/ref/HH/HASH.safetensors, where HH are the hash's first two digits. Outputs
 * of one workload can be gigabytes (a state cache, whole), so those not used
 * for longest give way. A file that is held stays (flock, shared): another evaluation that trims the
 * same folder lets it be. When a file was used last is its time of change.
 */
#ifndef ONBOARD_EVALCACHE_H
#define ONBOARD_EVALCACHE_H

#include "evaljob.h"

struct eval_cache {
	const char *dir;	/* DIR/ref */
	uint64_t max;		/* bytes */
	uint64_t size;		/* what is there, as far as we know */
	bool known;
	int held[2 * EVAL_TRIALS];	/* one that was damaged and its successor, at most */
	size_t nheld;
};

/* Whether the file is there; if so it stays until the release. */
bool eval_cache_hold(struct eval_cache *c, const char *path);
/* As hold(), of a file that was just made. When all of a workload's are held, fit() lets others go. */
bool eval_cache_add(struct eval_cache *c, const char *path);
void eval_cache_fit(struct eval_cache *c);
void eval_cache_release(struct eval_cache *c);
/*
 * Removes what was used least recently until `max` bytes are left, and what killed runs left half written;
 * how many bytes went.
 */
uint64_t eval_cache_trim(struct eval_cache *c, uint64_t max);

#endif
