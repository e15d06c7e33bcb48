#include "keeper.h"
#include "proc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

/*
 * Kills our children; theirs become ours (we are their subreaper), until none
 * is left. Bounded: each round waits for somebody's end, and a program that
 * starts others faster than they are killed ends with its own death.
 */
static void kill_descendants(void)
{
	const struct timespec pause = { 0, 5000000 };
	struct strbuf sb = STRBUF_INIT;
	char *s, *end;
	int round;
	long pid;

	for (round = 0; round < 2000; round++) {
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (pid < 0 && errno == ECHILD)
			break;
		proc_children(&sb);
		for (s = sb.buf; (pid = strtol(s, &end, 10)) > 1; s = end)
			kill((pid_t)pid, SIGKILL);
		nanosleep(&pause, NULL);
	}
	strbuf_release(&sb);
}

static int status_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) :
		128 + WTERMSIG(status);
}

static void run_program(char *const argv[], char *const env[], int log,
			pid_t keeper)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGTERM, SIG_DFL);	/* what is ignored stays so after exec */
	signal(SIGPIPE, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != keeper)	/* it ended before the line above */
		_exit(127);
	setsid();
	if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 ||
	    dup2(log, 2) < 0)
		_exit(127);
	execvpe(argv[0], argv, env);
	dprintf(2, "unable to run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void on_child(int sig)
{
	(void)sig;	/* it only interrupts ppoll() */
}

/* Whoever ended is taken; true once the program is among them. */
static bool reap(pid_t program, int *status)
{
	pid_t pid;
	int st;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0)
		if (pid == program) {
			*status = st;
			return true;
		}
	return false;
}

/* The keeper: until the program ends, or the pipe says that we did. */
static void keep(char *const argv[], char *const env[], int log, int life,
		 int tell)
{
	struct sigaction sa = { .sa_handler = on_child };
	struct pollfd p = { life, POLLIN, 0 };
	sigset_t block, was;
	int status = 0;
	pid_t pid, self = getpid();

	setsid();			/* a terminal's ^C is not for it */
	prctl(PR_SET_NAME, "onboard-keeper");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGTERM, SIG_IGN);
	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, &was);
	sigaction(SIGCHLD, &sa, NULL);
	pid = fork();
	if (!pid)
		run_program(argv, env, log, self);
	if (write(tell, &pid, sizeof(pid)) != sizeof(pid))
		_exit(127);
	close(tell);
	while (pid > 0 && !reap(pid, &status))
		if (ppoll(&p, 1, NULL, &was) > 0) {
			status = SIGKILL;
			break;
		}
	kill_descendants();
	_exit(status_code(status));
}

int keeper_start(struct keeper *k, char *const argv[], char *const env[],
		 const char *log, struct strbuf *err)
{
	int life[2], tell[2], fd;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0 || pipe2(life, O_CLOEXEC) || pipe2(tell, O_CLOEXEC)) {
		strbuf_addf(err, "unable to start %s: %s: %s", argv[0],
			    fd < 0 ? log : "pipe", strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	k->pid = fork();
	if (!k->pid) {
		close(life[1]);
		close(tell[0]);
		keep(argv, env, fd, life[0], tell[1]);
	}
	close(fd);
	close(life[0]);
	close(tell[1]);
	k->life = life[1];
	if (k->pid < 0 || read(tell[0], &k->program, sizeof(k->program)) !=
	    sizeof(k->program) || k->program < 0) {
		strbuf_addf(err, "unable to start %s", argv[0]);
		close(tell[0]);
		keeper_stop(k, 0);
		return -1;
	}
	close(tell[0]);
	return 0;
}

int keeper_ended(struct keeper *k)
{
	int status;

	if (k->pid <= 0)
		return 127;
	if (waitpid(k->pid, &status, WNOHANG) != k->pid)
		return -1;
	k->pid = 0;
	close(k->life);
	if (WIFSIGNALED(status))
		kill_descendants();
	return status_code(status);
}

void keeper_stop(struct keeper *k, int grace)
{
	const struct timespec pause = { 0, 20000000 };
	int i;

	if (k->pid <= 0)
		return;
	keeper_pause(k, false);
	if (k->program > 0)
		kill(k->program, SIGTERM);
	for (i = 0; i < grace * 50 && keeper_ended(k) < 0; i++)
		nanosleep(&pause, NULL);
	if (k->pid <= 0)
		return;
	close(k->life);
	k->life = -1;
	if (waitpid(k->pid, &i, 0) == k->pid && WIFSIGNALED(i))
		kill_descendants();
	k->pid = 0;
}

void keeper_pause(const struct keeper *k, bool on)
{
	if (k->pid > 0 && k->program > 0)
		kill(-k->program, on ? SIGSTOP : SIGCONT);
}
