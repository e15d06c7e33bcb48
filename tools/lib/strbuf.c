#include "strbuf.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

char strbuf_slop[1];

void strbuf_release(struct strbuf *sb)
{
	size_t max = sb->max;

	if (sb->alloc)
		free(sb->buf);
	*sb = (struct strbuf)STRBUF_INIT_MAX(max);
}

void strbuf_reset(struct strbuf *sb)
{
	sb->len = 0;
	sb->overflow = false;
	if (sb->alloc)
		sb->buf[0] = '\0';
}

char *strbuf_detach(struct strbuf *sb)
{
	char *s = sb->alloc ? sb->buf : xstrdup("");

	sb->alloc = 0;
	strbuf_release(sb);
	return s;
}

static bool grow(struct strbuf *sb, size_t extra)
{
	size_t need = st_add(st_add(sb->len, extra), 1);

	if (sb->max && need - 1 > sb->max) {
		sb->overflow = true;
		return false;
	}
	if (need > sb->alloc) {
		size_t n = st_add(sb->alloc, sb->alloc / 2 + 64);

		if (n < need)
			n = need;
		sb->buf = sb->alloc ? xrealloc(sb->buf, n) : xmalloc(n);
		sb->buf[sb->len] = '\0';
		sb->alloc = n;
	}
	return true;
}

void strbuf_add(struct strbuf *sb, const void *data, size_t len)
{
	if (!len || !grow(sb, len))
		return;
	memcpy(sb->buf + sb->len, data, len);
	sb->len += len;
	sb->buf[sb->len] = '\0';
}

void strbuf_addstr(struct strbuf *sb, const char *s)
{
	strbuf_add(sb, s, strlen(s));
}

void strbuf_addch(struct strbuf *sb, int c)
{
	char ch = (char)c;

	strbuf_add(sb, &ch, 1);
}

void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap)
{
	va_list cp;
	int n;

	va_copy(cp, ap);
	n = vsnprintf(NULL, 0, fmt, cp);
	va_end(cp);
	if (n < 0)
		BUG("vsnprintf failed on '%s'", fmt);
	if (!grow(sb, (size_t)n))
		return;
	vsnprintf(sb->buf + sb->len, (size_t)n + 1, fmt, ap);
	sb->len += (size_t)n;
}

void strbuf_addf(struct strbuf *sb, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(sb, fmt, ap);
	va_end(ap);
}

char *strbuf_text(const char *fmt, ...)
{
	struct strbuf sb = STRBUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(&sb, fmt, ap);
	va_end(ap);
	return strbuf_detach(&sb);
}

void strbuf_rtrim(struct strbuf *sb)
{
	while (sb->len && strchr(" \t\r\n", sb->buf[sb->len - 1]))
		sb->buf[--sb->len] = '\0';
}

void strbuf_add_double(struct strbuf *sb, double d)
{
	char s[40];
	int prec;

	if (fabs(d) < 1e15 && d == floor(d)) {
		strbuf_addf(sb, "%.0f", d);
		return;
	}
	for (prec = 1; prec <= 17; prec++) {
		snprintf(s, sizeof(s), "%.*g", prec, d);
		if (strtod(s, NULL) == d)
			break;
	}
	strbuf_addstr(sb, s);
}

int strbuf_read_fd(struct strbuf *sb, int fd, const char *name,
		   struct strbuf *err)
{
	char chunk[65536];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			strbuf_addf(err, "unable to read %s: %s", name,
				    strerror(errno));
			return -1;
		}
		strbuf_add(sb, chunk, (size_t)n);
		if (sb->overflow) {
			strbuf_addf(err, "%s is larger than %zu MiB, more than"
				    " such a file can be", name,
				    sb->max >> 20);
			return -1;
		}
	}
	return 0;
}

int strbuf_read_file(struct strbuf *sb, const char *path, struct strbuf *err)
{
	struct stat st;
	int fd, ret;

	if (!strcmp(path, "-"))
		return strbuf_read_fd(sb, 0, "standard input", err);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		strbuf_addf(err, "unable to open %s: %s", path,
			    strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (S_ISREG(st.st_mode) &&
	    (!sb->max || sb->len + (size_t)st.st_size <= sb->max))
		grow(sb, (size_t)st.st_size);
	ret = strbuf_read_fd(sb, fd, path, err);
	close(fd);
	return ret;
}
