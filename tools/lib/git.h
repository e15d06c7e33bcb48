/*
 * git.h - the git command, without a prompt, a pager or a shell.
 *
 * git_run() runs `git ARGS...` and returns 0, or -1 with a sentence made of
 * git's own last complaint. `out` may be NULL. `dir` becomes -C (NULL: none).
 * The reason is told apart for callers that retry: *temporary is set when it
 * was the network or a lock, not the repository. Both pointers may be NULL.
 */
#ifndef ONBOARD_GIT_H
#define ONBOARD_GIT_H

#include "strbuf.h"

struct git_call {
	const char *dir;
	const char *const *args;	/* ends in NULL */
	struct strbuf *out;
	bool *temporary;
	void (*on_err)(void *data, const char *text, size_t len);
	void *data;
};

/* Once, at the start of a tool that runs git: no prompts, stable output. */
void git_setup(void);
int git_run(const struct git_call *call, struct strbuf *err);
/*
 * Removes the locks that killed gits left in the clone `dir`; for who knows that
 * no git works there. Without it each git that follows refuses to write.
 */
void git_unlock(const char *dir);
#define GIT_ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

#endif
