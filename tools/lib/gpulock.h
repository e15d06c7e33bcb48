/*
 * gpulock.h - GPUs of this host, each one's at a time.
 *
 * A lock is a flock() on DIR/onboard-gpu.N: it goes with the last process that
 * holds the descriptor, so a holder that is killed leaves nothing behind.
 * Locks are asked for in rising order, and all or none are kept: two sessions
 * that want two GPUs each cannot wait for each other's.
 */
#ifndef ONBOARD_GPULOCK_H
#define ONBOARD_GPULOCK_H

#include "strbuf.h"

#define GPU_MAX 64

struct gpu_locks {
	int fd[GPU_MAX], gpu[GPU_MAX];
	size_t n;
};

/*
 * "0,1,3"; NULL or "": those of CUDA_VISIBLE_DEVICES, else every /dev/nvidiaN.
 * Their number (0: there is none), or -1 with a sentence.
 */
int gpu_list(const char *text, int gpus[GPU_MAX], struct strbuf *err);

/*
 * Locks `want` of the GPUs, waiting at most that many seconds. 0, or -1 with
 * a sentence; errno is EWOULDBLOCK when they were busy all the time.
 */
int gpu_lock(const char *dir, const int *gpus, size_t n, size_t want,
	     int seconds, struct gpu_locks *l, struct strbuf *err);
void gpu_unlock(struct gpu_locks *l);

#endif
