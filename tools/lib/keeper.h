/*
 * keeper.h - a long-lived program that never outlives us.
 *
 * Between us and the program stands a keeper process: child subreaper of all
 * that the program starts, at the other end of a pipe that only we hold. When
 * we end, however that happens, the keeper sees the pipe close, kills
 * every descendant until none is left, and ends. It shares descriptors
 * that are open when it starts (GPU locks), so these are free only
 * once everything is gone. Should the keeper itself be killed, the kernel kills
 * the program (PR_SET_PDEATHSIG) and keeper_ended() kills what it left. Only
 * when we and the keeper are killed in one moment does what the program itself
 * started live on, unless it watches its parent, as SGLang's processes do.
 */
#ifndef ONBOARD_KEEPER_H
#define ONBOARD_KEEPER_H

#include "strbuf.h"

struct keeper {
	pid_t pid, program;
	int life;
};

/*
 * Runs argv (looked up in PATH, environment env) in a process session of its
 * own, input empty, output and errors appended to the file `log`. -1 with a
 * sentence; a program that cannot be executed ends with 127.
 */
int keeper_start(struct keeper *k, char *const argv[], char *const env[],
		 const char *log, struct strbuf *err);
/* Whether it ended: its exit status, or 128 + signal; -1: it still runs. */
int keeper_ended(struct keeper *k);
/* Asks it to end (SIGTERM), and kills all that is there after `grace` seconds. */
void keeper_stop(struct keeper *k, int grace);
/* Halts the program and what is in its process group, or lets them go on. */
void keeper_pause(const struct keeper *k, bool on);

#endif
