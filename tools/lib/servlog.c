#include "servlog.h"
#include "json.h"

#include <fcntl.h>
#include <sys/stat.h>

#define TAIL ((off_t)1 << 20)	/* bytes of the log that are looked at */

off_t servlog_size(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_size;
}

bool servlog_is_memory(const char *text)
{
	return strcasestr(text, "out of memory") ||
		strstr(text, "OutOfMemoryError") ||
		strcasestr(text, "not enough memory");
}

static void read_tail(const char *path, off_t from, struct strbuf *sb)
{
	off_t size = servlog_size(path);
	char buf[65536];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (size - from > TAIL)
		from = size - TAIL;
	for (; fd >= 0 && (n = pread(fd, buf, sizeof(buf), from)) > 0;
	     from += n)
		strbuf_add(sb, buf, (size_t)n);
	if (fd >= 0)
		close(fd);
}

static bool is_error(const char *line)
{
	return strstr(line, "Error") || strstr(line, "error:") ||
		strstr(line, "unable to") || strstr(line, "Exception:");
}

bool servlog_reason(const char *path, off_t from, struct strbuf *why)
{
	struct strbuf sb = STRBUF_INIT_MAX(2 * TAIL);
	char *s, *nl, *last = NULL, *error = NULL, *memory = NULL;
	bool yes;

	read_tail(path, from, &sb);
	for (s = sb.buf; s && *s; s = nl ? nl + 1 : NULL) {
		nl = strchr(s, '\n');
		if (nl)
			*nl = '\0';
		if (servlog_is_memory(s))
			memory = s;
		if (is_error(s))
			error = s;
		if (s[strspn(s, " \t\r")])
			last = s;
	}
	yes = memory;
	s = memory ? memory : error ? error : last;
	strbuf_addf(why, "%.300s", s ? s : "its log is empty");
	strbuf_release(&sb);
	return yes;
}

void servlog_apis(const char *path, struct strbuf *names)
{
	static const char mark[] = "FlashInfer API Call: ";
	struct strbuf sb = STRBUF_INIT_MAX(2 * TAIL), one = STRBUF_INIT;
	json_t *set = json_array(), *v;
	const char *s;
	size_t i;

	read_tail(path, 0, &sb);
	for (s = sb.buf; s && (s = strstr(s, mark)); ) {
		s += strlen(mark);
		strbuf_reset(&one);
		strbuf_add(&one, s, strcspn(s, " (\r\n"));
		json_array_add(set, one.buf);
	}
	json_array_foreach(set, i, v)
		strbuf_addf(names, "%s%s", names->len ? ", " : "",
			    json_string_value(v));
	json_decref(set);
	strbuf_release(&one);
	strbuf_release(&sb);
}
