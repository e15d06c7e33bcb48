#include "dumpspool.h"
#include "dump.h"
#include "fileio.h"
#include "outfile.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MAX_META ((size_t)4 << 20)
#define MAX_HEADER ((uint64_t)16 << 20)
#define SCALAR 8		/* bytes */

struct range {
	uint64_t from, to;
};

struct spool {
	struct archive *a;
	int dirfd, fd;
	struct strbuf head;		/* length, header */
	uint64_t data;			/* where the tensors begin, 0: unknown */
	struct range *keep;
	size_t nkeep;
};

/* Which bytes are integer tensors, or so few that they may be a scalar. */
static void find_ranges(struct spool *s)
{
	struct strbuf no = STRBUF_INIT;
	const struct jval *e, *off;
	struct jdoc doc = JDOC_INIT;
	const char *dtype;
	uint64_t from, to;
	char *text = xmalloc(s->data - 8);

	memcpy(text, s->head.buf + 8, s->data - 8);
	s->nkeep = 0;
	jv_each(e, jdoc_parse(&doc, text, s->data - 8, "header", &no)) {
		dtype = jv_get_str(e, "dtype");
		off = jv_get(e, "data_offsets");
		if (!dtype || jv_size(off) != 2)
			continue;
		from = (uint64_t)jv_int(jv_at(off, 0));
		to = (uint64_t)jv_int(jv_at(off, 1));
		if (to - from > SCALAR && ((*dtype != 'I' && *dtype != 'U' &&
					    *dtype != 'B') ||
					   !strcmp(dtype, "BF16")))
			continue;
		s->keep = xrealloc(s->keep, (s->nkeep + 1) *
				   sizeof(*s->keep));
		s->keep[s->nkeep++] = (struct range){
			s->data + from, s->data + to };
	}
	jdoc_release(&doc);
	free(text);
	strbuf_release(&no);
}

static int take_tensors(struct spool *s, const char *buf, size_t n,
			uint64_t at)
{
	size_t i;

	if (!s->data) {
		/* the blocks come in order; a hole in the header is none */
		if (at != s->head.len)
			return -1;
		strbuf_add(&s->head, buf, n);
		if (s->head.len >= 8) {
			uint64_t len = 0;
			int k;

			for (k = 7; k >= 0; k--)
				len = len << 8 |
					(unsigned char)s->head.buf[k];
			if (len > MAX_HEADER)
				return -1;
			if (s->head.len < len + 8)
				return 0;
			s->data = len + 8;
			find_ranges(s);
			if (file_put(s->fd, s->head.buf, s->data, 0))
				return -1;
			/* what came with the header */
			buf = s->head.buf;
			n = s->head.len;
			at = 0;
		} else {
			return 0;
		}
	}
	for (i = 0; i < s->nkeep; i++) {
		uint64_t from = s->keep[i].from > at ? s->keep[i].from : at;
		uint64_t to = s->keep[i].to < at + n ? s->keep[i].to : at + n;

		if (from < to && file_put(s->fd, buf + (from - at), to - from,
				     from))
			return -1;
	}
	return 0;
}

/* A call's folder, and what leads to a replay in it. */
static void make_folders(int dirfd, const char *folder)
{
	char *path = xstrdup(folder), *slash;

	for (slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdirat(dirfd, path, 0777);
		*slash = '/';
	}
	mkdirat(dirfd, path, 0777);
	free(path);
}

static int take_file(struct spool *s, const char *folder, const char *file,
		     struct archive_entry *e, struct strbuf *err)
{
	struct timespec written = { archive_entry_mtime(e),
		archive_entry_mtime_nsec(e) };
	int64_t size = archive_entry_size(e);
	bool tensors = strcmp(file, "metadata.jsonl");
	struct strbuf path = STRBUF_INIT;
	const void *buf;
	size_t n;
	la_int64_t at;
	int r = 0, ret = 0;

	errno = 0;
	strbuf_addf(&path, "%s/%s", folder, file);
	make_folders(s->dirfd, folder);
	s->fd = openat(s->dirfd, path.buf, O_WRONLY | O_CREAT | O_TRUNC |
		       O_NOFOLLOW | O_CLOEXEC, 0666);
	strbuf_release(&path);
	if (s->fd < 0) {
		strbuf_addf(err, "unable to unpack %s/%s: %s", folder, file,
			    strerror(errno));
		return -1;
	}
	strbuf_reset(&s->head);
	s->data = 0;
	while (!(r = archive_read_data_block(s->a, &buf, &n, &at))) {
		if (!n)
			continue;
		if (tensors ? take_tensors(s, buf, n, (uint64_t)at)
			    : (size_t)at + n > MAX_META ||
			      file_put(s->fd, buf, n, (uint64_t)at))
			break;
	}
	/* a file that is no safetensors stays short, and is refused later */
	if (r != ARCHIVE_EOF && errno == ENOSPC)
		ret = -1;
	else if (tensors ? s->data && ftruncate(s->fd, size) : false)
		ret = -1;
	if (ret)
		strbuf_addf(err, "unable to unpack %s: %s", folder,
			    strerror(errno));
	/* the order of calls within a millisecond, and of replays */
	futimens(s->fd, (struct timespec[]){ written, written });
	close(s->fd);
	return ret;
}

/* Of each record only the folder that it is of: where it stands matters. */
static int take_session(struct spool *s, struct strbuf *err)
{
	struct strbuf line = STRBUF_INIT_MAX(MAX_META), no = STRBUF_INIT;
	struct jdoc doc = JDOC_INIT;
	json_t *record;
	const void *buf;
	const char *dir;
	size_t n, i;
	la_int64_t at;
	FILE *f;

	s->fd = openat(s->dirfd, "session.jsonl", O_WRONLY | O_CREAT | O_TRUNC |
		       O_NOFOLLOW | O_CLOEXEC, 0666);
	f = s->fd < 0 ? NULL : fdopen(s->fd, "w");
	while (f && !archive_read_data_block(s->a, &buf, &n, &at))
		for (i = 0; i < n; i++) {
			strbuf_addch(&line, ((const char *)buf)[i]);
			if (((const char *)buf)[i] != '\n')
				continue;
			strbuf_reset(&no);
			dir = jv_get_str(jdoc_parse(&doc, line.buf, line.len,
						    "line", &no), "dump_dir");
			record = dir ? json_pack("{s:s}", "dump_dir", dir) :
				NULL;
			if (record && !json_dumpf(record, f, JSON_COMPACT))
				fputc('\n', f);
			json_decref(record);
			strbuf_reset(&line);
		}
	strbuf_release(&line);
	strbuf_release(&no);
	jdoc_release(&doc);
	if (f && !fclose(f))
		return 0;
	strbuf_addf(err, "unable to unpack session.jsonl: %s",
		    strerror(errno));
	return -1;
}

/*
 * The call's folder in a path of the archive, which is cut before the file's
 * name: ".../CALL" or ".../CALL/graph_flushes/flush_NNNN"; NULL: neither.
 */
static const char *call_of(const char *path, struct dump_name *name)
{
	const char *p = path + strlen(path), *flush;
	char *folder;
	bool is;

	while (p > path && p[-1] != '/')
		p--;
	if (dump_name_parse(name, p))
		return p;
	if (strncmp(p, "flush_", 6) || p == path)
		return NULL;
	for (flush = p - 1; flush > path && flush[-1] != '/'; flush--)
		;
	if (strncmp(flush, "graph_flushes/", 14) || flush == path)
		return NULL;
	for (p = flush - 1; p > path && p[-1] != '/'; p--)
		;
	folder = xstrndup(p, (size_t)(flush - 1 - p));
	is = dump_name_parse(name, folder);
	free(folder);
	return is ? p : NULL;
}

int dump_spool(const char *archive, const char *dir,
	       bool (*want)(const char *function), struct strbuf *cut,
	       struct strbuf *err)
{
	struct spool s = { .a = archive_read_new(), .head = STRBUF_INIT };
	struct archive_entry *e;
	int r = ARCHIVE_EOF, ret = 0;

	archive_read_support_filter_all(s.a);
	archive_read_support_format_tar(s.a);
	s.dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s.dirfd < 0 || archive_read_open_filename(s.a, archive, 1 << 18)) {
		strbuf_addf(err, "unable to read %s: %s", archive,
			    s.dirfd < 0 ? strerror(errno)
					: archive_error_string(s.a));
		ret = -1;
	}
	while (!ret && !(r = archive_read_next_header(s.a, &e))) {
		char *path = xstrdup(archive_entry_pathname(e) ?
				     archive_entry_pathname(e) : "");
		char *file = strrchr(path, '/');
		const char *folder = NULL;
		struct dump_name name;

		if (file) {
			*file++ = '\0';
			folder = call_of(path, &name);
		}
		if (archive_entry_filetype(e) != AE_IFREG)
			;
		else if (folder && (!strcmp(file, "metadata.jsonl") ||
				    !strcmp(file, "inputs.safetensors")) &&
			 want(name.function))
			ret = take_file(&s, folder, file, e, err);
		else if (!strcmp(file ? file : path, "session.jsonl"))
			ret = take_session(&s, err);
		free(path);
	}
	if (!ret && r != ARCHIVE_EOF)
		strbuf_addf(cut, "%s: %s", archive, archive_error_string(s.a));
	archive_read_free(s.a);
	if (s.dirfd >= 0)
		close(s.dirfd);
	strbuf_release(&s.head);
	free(s.keep);
	return ret;
}

static char root[4096];

void dump_spool_remove(void)
{
	struct strbuf no = STRBUF_INIT;

	if (*root)
		outfile_remove_tree(root, &no);
	*root = '\0';
	strbuf_release(&no);
}

const char *dump_spool_folder(const char *arg,
			      bool (*want)(const char *function),
			      struct strbuf *cut, struct strbuf *err)
{
	const char *tmp = getenv("TMPDIR");
	struct strbuf path = STRBUF_INIT;
	static int n;
	struct stat st;

	if (!stat(arg, &st) && S_ISDIR(st.st_mode))
		return arg;
	if (!*root) {
		snprintf(root, sizeof(root), "%s/dumpwl.XXXXXX",
			 tmp && *tmp ? tmp : "/tmp");
		if (!mkdtemp(root)) {
			strbuf_addf(err, "unable to make a folder like %s: %s",
				    root, strerror(errno));
			*root = '\0';
			return NULL;
		}
	}
	strbuf_addf(&path, "%s/%d", root, n++);
	if (mkdir(path.buf, 0777)) {
		strbuf_addf(err, "unable to make %s: %s", path.buf,
			    strerror(errno));
		return NULL;
	}
	return dump_spool(arg, path.buf, want, cut, err) ? NULL
							 : path.buf;
}
