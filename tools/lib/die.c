#include <time.h>
#include "die.h"
#include "outfile.h"
#include "strbuf.h"

static const char *tool = "onboard";
static const char *record;

void die_init(const char *name)
{
	const char *slash = strrchr(name, '/');

	tool = slash ? slash + 1 : name;
}

const char *die_tool(void)
{
	return tool;
}

void die_record_to(const char *path)
{
	struct strbuf old = STRBUF_INIT_MAX(1 << 16), err = STRBUF_INIT;
	char *name;

	record = path;
	if (!strbuf_read_file(&old, path, &err)) {
		name = strchr(old.buf, ' ');
		if (name && !strncmp(name + 1, tool, strlen(tool)) &&
		    name[1 + strlen(tool)] == ':')
			unlink(path);
	}
	strbuf_release(&old);
	strbuf_release(&err);
}

static void clean(struct strbuf *sb)
{
	size_t i;

	for (i = 0; i < sb->len; i++) {
		unsigned char c = (unsigned char)sb->buf[i];

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			sb->buf[i] = '?';
	}
}

void die(int code, const char *fmt, ...)
{
	struct strbuf sb = STRBUF_INIT, err = STRBUF_INIT, all = STRBUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(&sb, fmt, ap);
	va_end(ap);
	clean(&sb);
	fprintf(stderr, "%s: %s\n", tool, sb.buf);
	if (record) {
		strbuf_addf(&all, "%d %s: %s\n", code, tool, sb.buf);
		if (outfile_write(record, all.buf, all.len, &err))
			fprintf(stderr, "%s: %s\n", tool, err.buf);
	}
	exit(code);
}

void warn(const char *fmt, ...)
{
	struct strbuf sb = STRBUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(&sb, fmt, ap);
	va_end(ap);
	clean(&sb);
	fprintf(stderr, "%s: %s\n", tool, sb.buf);
	strbuf_release(&sb);
}

int done(void)
{
	if (fflush(stdout) || ferror(stdout))
		die(EX_AGAIN, "unable to write standard output: %s",
		    strerror(errno));
	return EX_DONE;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void progress(const char *what, size_t at, size_t of)
{
	static double begun, last;
	static int tty = -1;
	double t;

	if (tty < 0)
		tty = isatty(2);
	if (!tty || !of)
		return;
	t = now();
	if (!at || begun <= 0)
		begun = t;
	if (at == of && last > 0) {
		fputs("\r\033[K", stderr);
		last = 0;
	} else if (at && at < of && t - begun > 0.5 && t - last > 0.2) {
		fprintf(stderr, "\r\033[K%s: %s %zu of %zu (%zu %%), %.0f s"
			" left", tool, what, at, of, at * 100 / of,
			(t - begun) * (double)(of - at) / (double)at);
		fflush(stderr);
		last = t;
	}
}
