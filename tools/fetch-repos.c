/*
 * fetch-repos - bring the upstream repositories to their wished state.
 * Reads the wish (manifests/repos.json) and the snapshot; writes the clones
 * under ROOT and repos.json. One process per repository, side by side.
 */
#include "lib/die.h"
#include "lib/git.h"
#include "lib/opt.h"
#include "lib/outfile.h"
#include "lib/source.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MAX_REPOS 16

static const char *wish_path, *root = "tmp", *mode = "auto", *snapshot;
static const char *out = "-", *since, *ours;
static struct opt_list urls, refs;

static const struct tool tool = {
	"--wish=FILE --snapshot=DIR [-o FILE] [NAME...]",
	"Clone or update the upstream repositories, all at the same time.",
	"the wish (manifests/repos.json), git or PyPI, the snapshot",
	"the clones under --root, and repos.json: kind, id, ref, origin, date"
};

static const struct option options[] = {
	OPT_STR('w', "wish", &wish_path, "FILE", "what to bring: repos.json"),
	OPT_STR('r', "root", &root, "DIR", "folder of the clones [tmp]"),
	OPT_STR('s', "source", &mode, "KIND",
		"git, pypi, snapshot or auto (git, else snapshot) [auto]"),
	OPT_STR(0, "snapshot", &snapshot, "DIR", "facts shipped with onboard"),
	OPT_LIST(0, "url", &urls, "NAME=URL", "URL, folder or bundle instead"),
	OPT_LIST(0, "ref", &refs, "NAME=REF",
		 "branch, tag or commit; a version for pypi"),
	OPT_STR(0, "since", &since, "DATE", "also the history since then"),
	OPT_STR(0, "ours", &ours, "DIR",
		"provenance of the definitions that we wrote"),
	OPT_STR('o', "output", &out, "FILE", "repos.json, - is stdout [-]"),
	OPT_END
};

struct repo {
	const char *name;
	pid_t pid;
	int fd;			/* from the child, -1 when it has ended */
	struct strbuf in;	/* bytes of a message that is not whole */
	char *state;		/* the last progress line */
	json_t *entry;
	char *error, *note;
	int code;
	bool killed;
};

static struct repo repos[MAX_REPOS];
static size_t nrepos;

static const char *override(const struct opt_list *l, const char *name)
{
	size_t i, n = strlen(name);

	for (i = l->n; i-- > 0;)
		if (!strncmp(l->v[i], name, n) && l->v[i][n] == '=' &&
		    l->v[i][n + 1])
			return l->v[i] + n + 1;
	return NULL;
}

/* Child side. A message is a letter, a text without line ends, a LF. */
static void say(int fd, char kind, const char *text)
{
	struct strbuf sb = STRBUF_INIT;
	size_t i;

	strbuf_addf(&sb, "%c%s", kind, text);
	for (i = 0; i < sb.len; i++)
		if (sb.buf[i] == '\n')
			sb.buf[i] = ' ';
	strbuf_addch(&sb, '\n');
	if (write(fd, sb.buf, sb.len) < 0)
		_exit(EX_AGAIN);
	strbuf_release(&sb);
}

static void child_progress(void *data, const char *text)
{
	say(*(int *)data, 'P', text);
}

static void child(const char *name, const json_t *wish, int fd)
{
	struct source s = { .name = name, .wish = wish, .root = root,
		.url = override(&urls, name), .ref = override(&refs, name),
		.since = since, .ours = ours, .data = &fd };
	struct strbuf err = STRBUF_INIT;
	json_t *j = NULL;
	int code = EX_REFUSED;
	char *text;

	if (isatty(2))
		s.progress = child_progress;
	if (!strcmp(mode, "git") || !strcmp(mode, "auto"))
		j = source_git(&s, &code, &err);
	else if (!strcmp(mode, "pypi") && json_object_get(wish, "pypi"))
		j = source_pypi(&s, &code, &err);
	if (!j && (!err.len || (!strcmp(mode, "auto") && !s.url &&
				!strstr(err.buf, "local edits")))) {
		if (err.len)
			say(fd, 'N', err.buf);
		else if (!strcmp(mode, "pypi"))
			say(fd, 'N', "not on PyPI");
		strbuf_reset(&err);
		j = source_snapshot(&s, snapshot, &code, &err);
	}
	if (j) {
		text = json_dumps(j, JSON_COMPACT);
		say(fd, 'R', text);
		_exit(0);
	}
	say(fd, 'E', err.buf);
	_exit(code);
}

static void start(struct repo *r, const json_t *wish)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC))
		die(EX_AGAIN, "unable to make a pipe: %s", strerror(errno));
	r->pid = fork();
	if (r->pid < 0)
		die(EX_AGAIN, "unable to fork: %s", strerror(errno));
	if (!r->pid) {
		close(fd[0]);
		child(r->name, wish, fd[1]);
	}
	close(fd[1]);
	r->fd = fd[0];
	r->state = xstrdup("connecting");
}

static void message(struct repo *r, const char *m)
{
	struct strbuf err = STRBUF_INIT;

	switch (m[0]) {
	case 'P':
		free(r->state);
		r->state = xstrdup(m + 1);
		break;
	case 'R':
		r->entry = json_parse(m + 1, strlen(m + 1), r->name, &err);
		break;
	case 'N':
		r->note = xstrdup(m + 1);
		break;
	case 'E':
		r->error = xstrdup(m + 1);
		break;
	}
	strbuf_release(&err);
}

static void take(struct repo *r)
{
	char buf[4096], *nl;
	ssize_t n = read(r->fd, buf, sizeof(buf));
	int st;

	if (n > 0) {
		strbuf_add(&r->in, buf, (size_t)n);
		while ((nl = strchr(r->in.buf, '\n'))) {
			struct strbuf rest = STRBUF_INIT;

			*nl = '\0';
			message(r, r->in.buf);
			strbuf_add(&rest, nl + 1, r->in.len -
				   (size_t)(nl + 1 - r->in.buf));
			strbuf_release(&r->in);
			r->in = rest;
		}
		return;
	}
	if (n < 0 && errno == EINTR)
		return;
	close(r->fd);
	r->fd = -1;
	waitpid(r->pid, &st, 0);
	r->killed = !WIFEXITED(st);
	r->code = r->killed ? EX_AGAIN : WEXITSTATUS(st);
	free(r->state);
	r->state = xstrdup(r->entry ? "done" : "failed");
}

/*
 * The lock file has a byte while a run is under way. Whoever gets the lock and finds one
 * comes after a run that was killed, and all its gits are gone: their own locks
 * in the clones are nobody's.
 */
static void begin(int lock, const json_t *wish)
{
	struct strbuf dir = STRBUF_INIT;
	struct stat st;
	const char *name;
	json_t *v;

	if (!fstat(lock, &st) && st.st_size > 0)
		json_object_foreach((json_t *)wish, name, v) {
			strbuf_reset(&dir);
			strbuf_addf(&dir, "%s/%s", root, json_get_str(v, "dir"));
			git_unlock(dir.buf);
		}
	strbuf_release(&dir);
	if (pwrite(lock, "r", 1, 0) != 1)
		die(EX_AGAIN, "unable to write %s/.fetch-repos.lock: %s", root, strerror(errno));
}

/* If a process of ours was killed, its git may have been too. */
static void end(int lock)
{
	size_t i;

	for (i = 0; i < nrepos; i++)
		if (repos[i].killed)
			return;
	if (ftruncate(lock, 0))
		warn("unable to empty %s/.fetch-repos.lock: %s", root, strerror(errno));
}

/* One line per repository, redrawn in place; on a terminal only. */
static void draw(bool first)
{
	size_t i;

	if (!first)
		fprintf(stderr, "\033[%zuA", nrepos);
	for (i = 0; i < nrepos; i++)
		fprintf(stderr, "\r\033[K%-18s %.60s\n", repos[i].name,
			repos[i].state);
	fflush(stderr);
}

static void wait_all(void)
{
	struct pollfd f[MAX_REPOS];
	size_t i, left = nrepos;
	bool tty = isatty(2);

	if (tty)
		draw(true);
	while (left) {
		for (i = 0; i < nrepos; i++)
			f[i] = (struct pollfd){ repos[i].fd, POLLIN, 0 };
		if (poll(f, nrepos, -1) < 0 && errno != EINTR)
			die(EX_AGAIN, "unable to wait: %s", strerror(errno));
		for (i = 0; i < nrepos; i++)
			if (f[i].revents)
				take(&repos[i]);
		for (left = 0, i = 0; i < nrepos; i++)
			left += repos[i].fd >= 0;
		if (tty)
			draw(false);
	}
}

static json_t *summary(void)
{
	json_t *all = json_object();
	const struct repo *r, *failed = NULL;

	for (r = repos; r < repos + nrepos; r++) {
		if (!r->entry) {
			warn("%s: %s", r->name, r->error ? r->error :
			     "the process that fetched it was killed");
			if (!failed || r->code == EX_REFUSED)
				failed = r;
			continue;
		}
		if (r->note)
			warn("%s: taken from the snapshot of %s (%s), because:"
			     " %s", r->name, json_get_str(r->entry, "date"),
			     json_get_str(r->entry, "short"), r->note);
		printf("%-18s %-10s %-10s %-8s %s\n", r->name,
		       json_get_str(r->entry, "short"),
		       json_is_string(json_object_get(r->entry, "date"))
		       ? json_get_str(r->entry, "date") : "-",
		       json_get_str(r->entry, "kind"),
		       json_get_str(r->entry, "origin"));
		json_object_set(all, r->name, r->entry);
	}
	if (failed)
		die(failed->code == EX_REFUSED ? EX_REFUSED : EX_AGAIN,
		    "unable to bring %s: %s", failed->name, failed->error ?
		    failed->error : "its process was killed");
	return all;
}

int main(int argc, char **argv)
{
	struct strbuf err = STRBUF_INIT, path = STRBUF_INIT;
	int i, lock, first = opt_parse(argc, argv, &tool, options);
	const char *name;
	json_t *wish, *v;

	if (!wish_path || !snapshot)
		opt_usage("--wish and --snapshot are needed");
	if (strcmp(mode, "git") && strcmp(mode, "auto") &&
	    strcmp(mode, "pypi") && strcmp(mode, "snapshot"))
		opt_usage("--source is git, pypi, snapshot or auto, not '%s'",
			  mode);
	wish = json_load_path(wish_path, JSON_MAX_CONFIG, &err);
	if (!wish)
		die(EX_REFUSED, "%s", err.buf);
	for (i = first; i < argc; i++)
		if (!json_object_get(wish, argv[i]))
			opt_usage("%s names no repository '%s'", wish_path,
				  argv[i]);
	strbuf_addf(&path, "%s/.fetch-repos.lock", root);
	/*
	 * The lock passes on to every git that we start: if we are killed, the
	 * next run waits for the last of them instead of racing with it.
	 */
	lock = outfile_lock(path.buf, 60, &err);
	if (lock < 0 || fcntl(lock, F_SETFD, 0))
		die(EX_AGAIN, "%s", err.buf);
	git_setup();
	signal(SIGPIPE, SIG_IGN);
	json_object_foreach(wish, name, v)
		if (!json_need_str(v, "dir", wish_path, &err) ||
		    !json_need_str(v, "url", wish_path, &err) ||
		    !json_need_str(v, "ref", wish_path, &err))
			die(EX_REFUSED, "%s (of %s)", err.buf, name);
	begin(lock, wish);
	json_object_foreach(wish, name, v) {
		bool want = first == argc;

		for (i = first; i < argc; i++)
			want |= !strcmp(argv[i], name);
		if (!want)
			continue;
		if (nrepos == MAX_REPOS)
			die(EX_REFUSED, "%s names over %d repositories",
			    wish_path, MAX_REPOS);
		repos[nrepos] = (struct repo){ .name = name, .fd = -1,
					       .in = STRBUF_INIT };
		start(&repos[nrepos++], v);
	}
	wait_all();
	end(lock);
	if (json_save(summary(), out, &err))
		die(EX_AGAIN, "%s", err.buf);
	return done();
}
