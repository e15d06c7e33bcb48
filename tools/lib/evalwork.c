#include "evalwork.h"
#include "fileio.h"
#include "proc.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { LOG_MAX = 16 << 10, LINE_MAX_BYTES = 64 << 20, GRACE = 5, ID_MAX = 17 };

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

/* Our children are all workers, what these leave behind, and who was there `before`: a shell's, that became us by exec. */
static pid_t workers[8];
static struct strbuf before = STRBUF_INIT;

static void replace(pid_t from, pid_t to)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(workers); i++)
		if (workers[i] == from) {
			workers[i] = to;
			return;
		}
}

static bool is_known(long pid)
{
	char *s, *end;
	long other;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(workers); i++)
		if (workers[i] == pid)
			return true;
	for (s = before.buf; (other = strtol(s, &end, 10)) > 1; s = end)
		if (other == pid)
			return true;
	return false;
}

/*
 * What a worker that has ended started and nobody waits for is our child now (we are the subreaper), in
 * whatever session it is. Bounded: who starts others faster than they are killed is left.
 */
static void kill_orphans(void)
{
	struct strbuf sb = STRBUF_INIT;
	int round, found = 1;
	char *s, *end;
	long pid;

	for (round = 0; round < 200 && found; round++) {
		found = 0;
		proc_children(&sb);
		for (s = sb.buf; (pid = strtol(s, &end, 10)) > 1; s = end)
			if (!is_known(pid)) {
				kill((pid_t)pid, SIGKILL);
				while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
					;
				found++;
			}
	}
	strbuf_release(&sb);
}

/* Its exit status, or 128 + signal; it has `seconds` to end by itself. */
static int reap(struct eval_worker *w, int seconds)
{
	double until = now() + seconds;
	long pause = 1000000;
	int st = 0;

	while (now() < until && waitpid(w->pid, &st, WNOHANG) == 0) {
		nanosleep(&(struct timespec){ 0, pause }, NULL);
		pause = pause < 50000000 ? pause * 2 : pause;
	}
	kill(-w->pid, SIGKILL);		/* and what it started */
	while (waitpid(w->pid, &st, 0) < 0 && errno == EINTR)
		;
	replace(w->pid, 0);
	kill_orphans();
	forget(w);
	return WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == pid;
}

/* A line that is not empty until the deadline: 1; 0: time is up; -1: it ended. */
static int read_line(struct eval_worker *w, double until, struct strbuf *line)
{
	struct pollfd from = { .fd = w->from, .events = POLLIN };
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
			if (len)
				return 1;
			continue;
		}
		left = until - now();
		if (left <= 0)
			return 0;
		if (w->pending.len > LINE_MAX_BYTES)
			return -1;
		if (poll(&from, 1, left < 0.1 ? (int)(left * 1000) + 1 : 100) <= 0) {
			/* the pipe may be open still, in a child of its own; last words may have come meanwhile */
			if (has_ended(w->pid) && poll(&from, 1, 0) <= 0)
				return -1;
			continue;
		}
		n = read(w->from, buf, sizeof buf);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		strbuf_add(&w->pending, buf, (size_t)n);
	}
}

/* How much it has printed. */
static off_t log_size(const struct eval_worker *w)
{
	struct stat st;

	return stat(w->log, &st) ? 0 : st.st_size;
}

/* The end of what it printed since then. */
static void add_log(const struct eval_worker *w, off_t since, struct strbuf *sb)
{
	int fd = open(w->log, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *buf;
	size_t n;

	if (fd >= 0 && !fstat(fd, &st) && st.st_size > since) {
		n = st.st_size - since > LOG_MAX ? LOG_MAX : (size_t)(st.st_size - since);
		buf = xmalloc(n);
		if (!file_get(fd, buf, n, (uint64_t)st.st_size - n))
			strbuf_add(sb, buf, n);
		free(buf);
	}
	if (fd >= 0)
		close(fd);
}

int eval_worker_launch(struct eval_worker *w, struct strbuf *err)
{
	static bool asked;
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
	if (!asked) {
		asked = true;
		proc_children(&before);
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	}
	w->pid = fork();
	if (w->pid == 0)
		child(w, in[0], out[1], parent);
	if (w->pid > 0)
		replace(0, w->pid);
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
	const char *last;
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
	got = reap(w, got == 0 ? 0 : GRACE);
	strbuf_addf(err, "%s did not start (status %d)", w->argv[0], got);
	/* its last words say why */
	add_log(w, 0, &line);
	strbuf_rtrim(&line);
	last = line.len ? strrchr(line.buf, '\n') : NULL;
	if (line.len)
		strbuf_addf(err, ": %s", last ? last + 1 : line.buf);
	strbuf_addf(err, "; its words are in %s", w->log);
	strbuf_release(&line);
	return -1;
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

static json_t *lost(struct eval_worker *w, bool slow, int seconds, off_t since)
{
	struct strbuf sb = STRBUF_INIT;
	json_t *answer = json_object();
	int st = reap(w, slow ? 0 : GRACE);

	if (slow)
		strbuf_addf(&sb, "no answer in %d seconds; the process was ended\n", seconds);
	else
		strbuf_addf(&sb, "the process ended (%s %d)\n", st > 128 ?
			    "signal" : "status", st > 128 ? st - 128 : st);
	add_log(w, since, &sb);
	json_object_set_new(answer, "status", json_string(slow ? "TIMEOUT" :
							  "RUNTIME_ERROR"));
	json_object_set_new(answer, "log", text_of(&sb));
	strbuf_release(&sb);
	return answer;
}

/* Nobody foresees it: a line that a solution writes to the worker's pipe is no answer. */
static void new_id(char id[ID_MAX])
{
	uint64_t bits;

	if (getrandom(&bits, sizeof bits, 0) != sizeof bits)
		bits = (uint64_t)(now() * 1e9);
	snprintf(id, ID_MAX, "%016" PRIx64, bits);
}

/* A job that does not fit into the pipe at once may meet a dead worker. */
static bool tell(struct eval_worker *w, const json_t *job, const char *id)
{
	json_t *with = json_copy((json_t *)job);
	char *text;
	size_t len, at = 0;
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
	ssize_t n;

	json_object_set_new(with, "id", json_string(id));
	text = json_dumps(with, JSON_COMPACT);
	json_decref(with);
	len = text ? strlen(text) : 0;
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
	off_t since = log_size(w);
	double until = now() + seconds;
	char id[ID_MAX];
	int got;

	new_id(id);
	got = tell(w, job, id) ? 1 : -1;
	while (got == 1 && !answer) {
		const char *of;

		strbuf_reset(&line);
		got = now() < until ? read_line(w, until, &line) : 0;
		if (got == 1)
			answer = json_loads(line.buf, 0, NULL);
		of = answer ? json_get_str(answer, "id") : NULL;
		if (answer && (!of || strcmp(of, id) || !json_get_str(answer, "status"))) {
			json_decref(answer);
			answer = NULL;
		}
	}
	strbuf_release(&line);
	if (!answer)
		return lost(w, got == 0, seconds, since);
	/* after an error of the device it ends by itself */
	if (!strcmp(json_get_str(answer, "status"), "RUNTIME_ERROR") &&
	    !json_is_true(json_object_get(answer, "alive"))) {
		struct strbuf sb = STRBUF_INIT;
		const char *said = json_get_str(answer, "log");

		strbuf_addf(&sb, "%s\n", said ? said : "");
		eval_worker_stop(w);
		add_log(w, since, &sb);
		json_object_set_new(answer, "log", text_of(&sb));
		strbuf_release(&sb);
	}
	return answer;
}

void eval_worker_stop(struct eval_worker *w)
{
	if (!w->pid)
		return;
	close(w->to);
	w->to = -1;
	reap(w, GRACE);
}
