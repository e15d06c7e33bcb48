#include "git.h"
#include "proc.h"

#include <dirent.h>
#include <unistd.h>

void git_setup(void)
{
	/* an inherited repository would send every call elsewhere */
	unsetenv("GIT_DIR");
	unsetenv("GIT_WORK_TREE");
	unsetenv("GIT_INDEX_FILE");
	setenv("GIT_TERMINAL_PROMPT", "0", 1);
	setenv("GIT_LFS_SKIP_SMUDGE", "1", 1);
	setenv("GIT_OPTIONAL_LOCKS", "0", 1);
	setenv("LC_ALL", "C", 1);
}

static bool is_temporary(const char *s)
{
	static const char *const signs[] = {
		"Could not resolve host", "Connection refused",
		"Connection timed out", "Connection reset", "timed out",
		"Failed to connect", "Operation too slow", "early EOF",
		"returned error: 5", "returned error: 429",
		"unexpected disconnect", "No space left", "unable to write",
		"index.lock", "SSL", "Network is unreachable",
		"Couldn't connect"
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(signs); i++)
		if (strstr(s, signs[i]))
			return true;
	return false;
}

/* The last line that begins with fatal: or error:, else the last line. */
static void complaint(struct strbuf *to, const char *s)
{
	const char *best = NULL, *last = "it did not say why", *p;

	for (p = s; *p;) {
		size_t n = strcspn(p, "\n\r");

		if (n) {
			last = p;
			if (!strncmp(p, "fatal: ", 7) ||
			    !strncmp(p, "error: ", 7))
				best = best && p[0] == 'e' ? best : p;
		}
		p += n + (p[n] != '\0');
	}
	p = best ? best + 7 : last;
	strbuf_add(to, p, strcspn(p, "\n\r"));
}

int git_run(const struct git_call *call, struct strbuf *err)
{
	static const char *const common[] = {
		"git", "-c", "advice.detachedHead=false",
		"-c", "core.autocrlf=false", "-c", "core.hooksPath=/dev/null",
		"-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30",
		"-c", "gc.auto=0", "-c", "maintenance.auto=false",
		"-c", "core.fsmonitor=false"
	};
	const char *argv[64];
	struct strbuf errs = STRBUF_INIT_MAX(8 << 20);
	struct proc p = { .argv = argv, .out = call->out, .errs = &errs,
			  .on_err = call->on_err, .data = call->data };
	size_t n = 0, i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(common); i++)
		argv[n++] = common[i];
	if (call->dir) {
		argv[n++] = "-C";
		argv[n++] = call->dir;
	}
	for (i = 0; call->args[i]; i++) {
		if (n >= ARRAY_SIZE(argv) - 1)
			BUG("git: too many arguments");
		argv[n++] = call->args[i];
	}
	argv[n] = NULL;
	ret = proc_run(&p, err);
	if (ret > 0) {
		strbuf_addf(err, "git %s%s%s failed: ", call->args[0],
			    call->dir ? " in " : "",
			    call->dir ? call->dir : "");
		complaint(err, errs.buf);
	}
	if (ret && call->temporary)
		*call->temporary = ret > 128 || is_temporary(errs.buf);
	strbuf_release(&errs);
	return ret ? -1 : 0;
}

static void unlock_in(const char *path, int deep)
{
	DIR *d = opendir(path);
	struct strbuf sb = STRBUF_INIT;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		size_t n = strlen(e->d_name);

		if (e->d_name[0] == '.')
			continue;
		strbuf_reset(&sb);
		strbuf_addf(&sb, "%s/%s", path, e->d_name);
		if (n > 5 && !strcmp(e->d_name + n - 5, ".lock"))
			unlink(sb.buf);
		else if (deep && e->d_type == DT_DIR)
			unlock_in(sb.buf, deep - 1);
	}
	if (d)
		closedir(d);
	strbuf_release(&sb);
}

void git_unlock(const char *dir)
{
	/* how deep: refs have folders */
	static const struct { const char *name; int deep; } in[] = {
		{ ".git", 0 }, { ".git/info", 0 }, { ".git/refs", 8 } };
	struct strbuf sb = STRBUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(in); i++) {
		strbuf_reset(&sb);
		strbuf_addf(&sb, "%s/%s", dir, in[i].name);
		unlock_in(sb.buf, in[i].deep);
	}
	strbuf_release(&sb);
}
