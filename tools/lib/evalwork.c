#include "evalwork.h"
#include "fileio.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { LOG_MAX = 16 << 10, LINE_MAX_BYTES = 64 << 20 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void child(struct eval_worker *w, int in, int out, pid_t parent)
{
	int log = open(w->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || log < 0 || dup2(in, 0) < 0 ||
	    dup2(out, 1) < 0 || dup2(log, 2) < 0)
		_exit(127);
	execvp(w->argv[0], w->argv);
	_exit(127);
}

static void forget(struct eval_worker *w)
{
	if (w->to >= 0)
		close(w->to);
	if (w->from >= 0)
		close(w->from);
	w->to = w->from = -1;
	w->pid = 0;
	strbuf_reset(&w->pending);
}

/* Its exit status, or 128 + signal. */
static int reap(struct eval_worker *w, bool force)
{
	int st = 0;

	if (force)
		kill(-w->pid, SIGKILL);
	while (waitpid(w->pid, &st, 0) < 0 && errno == EINTR)
		;
	kill(-w->pid, SIGKILL);		/* what it started */
	forget(w);
	return WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
}

/* A line until the deadline: 1; 0: time is up; -1: it ended. */
static int read_line(struct eval_worker *w, double until, struct strbuf *line)
{
	char buf[65536], *nl;
	double left;
	ssize_t n;

	for (;;) {
		nl = w->pending.len ? memchr(w->pending.buf, '\n', w->pending.len) : NULL;
		if (nl) {
			size_t len = (size_t)(nl - w->pending.buf);
			struct strbuf rest = STRBUF_INIT;

			strbuf_add(line, w->pending.buf, len);
			strbuf_add(&rest, nl + 1, w->pending.len - len - 1);
			strbuf_release(&w->pending);
			w->pending = rest;
			return 1;
		}
		left = until - now();
		if (left <= 0)
			return 0;
		if (w->pending.len > LINE_MAX_BYTES)
			return -1;
		if (poll(&(struct pollfd){ .fd = w->from, .events = POLLIN }, 1,
			 (int)(left * 1000) + 1) <= 0)
			continue;
		n = read(w->from, buf, sizeof buf);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		strbuf_add(&w->pending, buf, (size_t)n);
	}
}

int eval_worker_launch(struct eval_worker *w, struct strbuf *err)
{
	int in[2], out[2];
	pid_t parent = getpid();

	if (w->pid)
		return 0;
	w->to = w->from = -1;
	w->ready = false;
	if (pipe2(in, O_CLOEXEC))
		goto fail;
	if (pipe2(out, O_CLOEXEC)) {
		close(in[0]);
		close(in[1]);
		goto fail;
	}
	w->pid = fork();
	if (w->pid == 0)
		child(w, in[0], out[1], parent);
	close(in[0]);
	close(out[1]);
	w->to = in[1];
	w->from = out[0];
	if (w->pid < 0) {
		forget(w);
		goto fail;
	}
	return 0;
fail:
	strbuf_addf(err, "%s: %s", w->argv[0], strerror(errno));
	return -1;
}

int eval_worker_start(struct eval_worker *w, int seconds, struct strbuf *err)
{
	struct strbuf line = STRBUF_INIT;
	int got;

	if (eval_worker_launch(w, err))
		return -1;
	if (w->ready)
		return 0;
	got = read_line(w, now() + seconds, &line);
	json_decref(w->hello);
	w->hello = got == 1 ? json_loads(line.buf, 0, NULL) : NULL;
	strbuf_release(&line);
	w->ready = w->hello != NULL;
	if (w->ready)
		return 0;
	got = reap(w, got == 0);
	strbuf_addf(err, "%s did not start (status %d); its words are in %s",
		    w->argv[0], got, w->log);
	return -1;
}

/* The end of what it printed. */
static void add_log(const struct eval_worker *w, struct strbuf *sb)
{
	int fd = open(w->log, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *buf;
	size_t n;

	if (fd >= 0 && !fstat(fd, &st) && st.st_size > 0) {
		n = st.st_size > LOG_MAX ? LOG_MAX : (size_t)st.st_size;
		buf = xmalloc(n);
		if (!file_get(fd, buf, n, (uint64_t)st.st_size - n))
			strbuf_add(sb, buf, n);
		free(buf);
	}
	if (fd >= 0)
		close(fd);
}

/* Foreign bytes as a JSON string: what is no UTF-8 becomes '?'. */
static json_t *text_of(const struct strbuf *sb)
{
	json_t *s = json_stringn(sb->len ? sb->buf : "", sb->len);
	size_t i;

	for (i = 0; !s && i < sb->len; i++)
		if ((unsigned char)sb->buf[i] >= 0x80)
			sb->buf[i] = '?';
	return s ? s : json_stringn(sb->buf, sb->len);
}

static json_t *lost(struct eval_worker *w, bool slow, int seconds)
{
	struct strbuf sb = STRBUF_INIT;
	json_t *answer = json_object();
	int st = reap(w, slow);

	if (slow)
		strbuf_addf(&sb, "no answer in %d seconds; the process was ended\n", seconds);
	else
		strbuf_addf(&sb, "the process ended (%s %d)\n", st > 128 ?
			    "signal" : "status", st > 128 ? st - 128 : st);
	add_log(w, &sb);
	json_object_set_new(answer, "status", json_string(slow ? "TIMEOUT" :
							  "RUNTIME_ERROR"));
	json_object_set_new(answer, "log", text_of(&sb));
	strbuf_release(&sb);
	return answer;
}

/* A job that does not fit into the pipe at once may meet a dead worker. */
static bool tell(struct eval_worker *w, const json_t *job)
{
	char *text = json_dumps(job, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0, at = 0;
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
	ssize_t n;

	sigaction(SIGPIPE, &ignore, &old);
	if (text)
		text[len++] = '\n';
	while (at < len) {
		n = write(w->to, text + at, len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	sigaction(SIGPIPE, &old, NULL);
	free(text);
	return len && at == len;
}

json_t *eval_worker_ask(struct eval_worker *w, const json_t *job, int seconds)
{
	struct strbuf line = STRBUF_INIT;
	json_t *answer = NULL;
	int got = tell(w, job) ? read_line(w, now() + seconds, &line) : -1;

	if (got == 1)
		answer = json_loads(line.buf, 0, NULL);
	strbuf_release(&line);
	if (!answer || !json_get_str(answer, "status")) {
		json_decref(answer);
		return lost(w, got == 0, seconds);
	}
	/* after an error of the device it ends by itself */
	if (!strcmp(json_get_str(answer, "status"), "RUNTIME_ERROR") &&
	    !json_is_true(json_object_get(answer, "alive"))) {
		struct strbuf sb = STRBUF_INIT;
		const char *said = json_get_str(answer, "log");

		strbuf_addf(&sb, "%s\n", said ? said : "");
		eval_worker_stop(w);
		add_log(w, &sb);
		json_object_set_new(answer, "log", text_of(&sb));
		strbuf_release(&sb);
	}
	return answer;
}

void eval_worker_stop(struct eval_worker *w)
{
	int i, st;

	if (!w->pid)
		return;
	close(w->to);
	w->to = -1;
	for (i = 0; i < 50; i++) {	/* 5 s to end by itself */
		if (waitpid(w->pid, &st, WNOHANG) == w->pid) {
			kill(-w->pid, SIGKILL);
			forget(w);
			return;
		}
		nanosleep(&(struct timespec){ 0, i < 5 ? 10000000 : 100000000 }, NULL);
	}
	reap(w, true);
}
