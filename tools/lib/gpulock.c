#include "gpulock.h"
#include "numlist.h"

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>

static int by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

int gpu_list(const char *text, int gpus[GPU_MAX], struct strbuf *err)
{
	char path[32];
	int n = 0, i;

	if (!text || !*text)
		text = getenv("CUDA_VISIBLE_DEVICES");
	if (!text || !*text) {
		for (i = 0; i < GPU_MAX; i++) {
			snprintf(path, sizeof(path), "/dev/nvidia%d", i);
			if (!access(path, F_OK))
				gpus[n++] = i;
		}
		return n;
	}
	n = number_list(text, 0, 1023, gpus, GPU_MAX);
	if (n < 0) {
		strbuf_addf(err, "GPUs are numbers like 0,1,3, at most %d of"
			    " them; not '%s'", GPU_MAX, text);
		return -1;
	}
	qsort(gpus, (size_t)n, sizeof(*gpus), by_number);
	for (i = 1; i < n; i++)
		if (gpus[i] == gpus[i - 1]) {
			strbuf_addf(err, "GPU %d is named twice", gpus[i]);
			return -1;
		}
	return n;
}

void gpu_unlock(struct gpu_locks *l)
{
	while (l->n)
		close(l->fd[--l->n]);
}

/* Takes what is free until there are enough; -1: a file cannot be had. */
static int take(const char *dir, const int *gpus, size_t n, size_t want,
		struct gpu_locks *l, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	size_t i;
	int fd, ret = 0;

	for (i = 0; i < n && l->n < want && !ret; i++) {
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/onboard-gpu.%d", dir, gpus[i]);
		fd = open(path.buf, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			  0666);
		if (fd < 0) {
			strbuf_addf(err, "unable to open lock %s: %s",
				    path.buf, strerror(errno));
			ret = -1;
		} else if (flock(fd, LOCK_EX | LOCK_NB)) {
			close(fd);
		} else {
			l->gpu[l->n] = gpus[i];
			l->fd[l->n++] = fd;
		}
	}
	strbuf_release(&path);
	return ret;
}

int gpu_lock(const char *dir, const int *gpus, size_t n, size_t want,
	     int seconds, struct gpu_locks *l, struct strbuf *err)
{
	const struct timespec pause = { 0, 100000000 };
	long tries = seconds < 0 ? 0 : (long)seconds * 10;

	l->n = 0;
	if (want > n) {
		strbuf_addf(err, "%zu GPUs are wanted and there are %zu", want,
			    n);
		errno = ERANGE;
		return -1;
	}
	for (;; tries--) {
		if (take(dir, gpus, n, want, l, err)) {
			gpu_unlock(l);
			errno = EACCES;
			return -1;
		}
		if (l->n == want)
			return 0;
		gpu_unlock(l);
		if (tries <= 0)
			break;
		nanosleep(&pause, NULL);
	}
	strbuf_addf(err, "%zu of %zu GPUs stayed busy for %d seconds (locks in"
		    " %s)", want, n, seconds, dir);
	errno = EWOULDBLOCK;
	return -1;
}
