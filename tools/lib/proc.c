#include "proc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

struct ends {
	int in, out, err;	/* ours, -1 when closed */
};

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int start(struct proc *p, pid_t *pid, struct ends *e,
		 struct strbuf *err)
{
	int pin[2] = { -1, -1 }, pout[2] = { -1, -1 }, perr[2] = { -1, -1 };
	bool take_err = p->errs || p->on_err;
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t def;
	int ret;

	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	sigemptyset(&def);
	sigaddset(&def, SIGPIPE);
	posix_spawnattr_setsigdefault(&attr, &def);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	if ((p->in && pipe2(pin, O_CLOEXEC)) ||
	    (p->out && pipe2(pout, O_CLOEXEC)) ||
	    (take_err && pipe2(perr, O_CLOEXEC))) {
		ret = errno;
		goto out;
	}
	if (p->in)
		posix_spawn_file_actions_adddup2(&fa, pin[0], 0);
	else
		posix_spawn_file_actions_addopen(&fa, 0, "/dev/null",
						 O_RDONLY, 0);
	if (p->out)
		posix_spawn_file_actions_adddup2(&fa, pout[1], 1);
	else
		posix_spawn_file_actions_addopen(&fa, 1, "/dev/null",
						 O_WRONLY, 0);
	if (take_err)
		posix_spawn_file_actions_adddup2(&fa, perr[1], 2);
	ret = posix_spawnp(pid, p->argv[0], &fa, &attr,
			   (char *const *)(uintptr_t)p->argv, environ);
out:
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	shut(&pin[0]);
	shut(&pout[1]);
	shut(&perr[1]);
	*e = (struct ends){ pin[1], pout[0], perr[0] };
	if (ret) {
		shut(&e->in);
		shut(&e->out);
		shut(&e->err);
		strbuf_addf(err, "unable to run %s: %s", p->argv[0],
			    strerror(ret));
		return -1;
	}
	return 0;
}

/* One read; closes at end of file. False when a maximum was passed. */
static bool drain(int *fd, struct strbuf *to, struct proc *p, bool is_err)
{
	char buf[65536];
	ssize_t n = read(*fd, buf, sizeof(buf));

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		shut(fd);
		return true;
	}
	if (to)
		strbuf_add(to, buf, (size_t)n);
	if (is_err && p->on_err)
		p->on_err(p->data, buf, (size_t)n);
	return !to || !to->overflow;
}

static bool pump(struct proc *p, struct ends *e)
{
	size_t sent = 0;
	bool ok = true;

	if (e->in >= 0)
		fcntl(e->in, F_SETFL, O_NONBLOCK);
	while (ok && (e->in >= 0 || e->out >= 0 || e->err >= 0)) {
		struct pollfd f[3] = { { e->in, POLLOUT, 0 },
				       { e->out, POLLIN, 0 },
				       { e->err, POLLIN, 0 } };

		if (poll(f, 3, -1) < 0 && errno != EINTR)
			break;
		if (f[0].revents) {
			ssize_t n = write(e->in, p->in + sent,
					  p->in_len - sent);

			if (n > 0)
				sent += (size_t)n;
			if (sent == p->in_len ||
			    (n < 0 && errno != EAGAIN && errno != EINTR))
				shut(&e->in);
		}
		if (f[1].revents)
			ok = drain(&e->out, p->out, p, false);
		if (ok && f[2].revents)
			ok = drain(&e->err, p->errs, p, true);
	}
	return ok;
}

int proc_run(struct proc *p, struct strbuf *err)
{
	struct sigaction ign = { .sa_handler = SIG_IGN }, old;
	struct ends e;
	pid_t pid;
	int st;
	bool ok;

	if (start(p, &pid, &e, err))
		return -1;
	sigaction(SIGPIPE, &ign, &old);
	ok = pump(p, &e);
	sigaction(SIGPIPE, &old, NULL);
	shut(&e.in);
	shut(&e.out);
	shut(&e.err);
	if (!ok)
		kill(pid, SIGKILL);
	while (waitpid(pid, &st, 0) < 0 && errno == EINTR)
		;
	if (!ok) {
		strbuf_addf(err, "%s says more than is believable",
			    p->argv[0]);
		return -1;
	}
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

void proc_children(struct strbuf *sb)
{
	char *path = strbuf_text("/proc/self/task/%ld/children", (long)getpid());
	struct strbuf no = STRBUF_INIT;

	strbuf_reset(sb);
	if (strbuf_read_file(sb, path, &no))
		strbuf_reset(sb);
	strbuf_release(&no);
	free(path);
}

char *proc_beside(const char *name)
{
	char self[PATH_MAX] = "", *slash;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		self[0] = '\0';
	slash = strrchr(self, '/');
	return strbuf_text("%.*s/%s", slash ? (int)(slash - self) : 0, self,
			   name);
}
