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

/* Which bytes are integer tensors. */
static void find_ranges(struct spool *s)
{
	struct strbuf no = STRBUF_INIT;
	const struct jval *e, *off;
	struct jdoc doc = JDOC_INIT;
	const char *dtype;
	char *text = xmalloc(s->data - 8);

	memcpy(text, s->head.buf + 8, s->data - 8);
	s->nkeep = 0;
	jv_each(e, jdoc_parse(&doc, text, s->data - 8, "header", &no)) {
		dtype = jv_get_str(e, "dtype");
		off = jv_get(e, "data_offsets");
		if (!dtype || jv_size(off) != 2 ||
		    (*dtype != 'I' && *dtype != 'U' && *dtype != 'B') ||
		    !strcmp(dtype, "BF16"))
			continue;
		s->keep = xrealloc(s->keep, (s->nkeep + 1) *
				   sizeof(*s->keep));
		s->keep[s->nkeep++] = (struct range){
			s->data + (uint64_t)jv_int(jv_at(off, 0)),
			s->data + (uint64_t)jv_int(jv_at(off, 1)) };
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

static int take_file(struct spool *s, const char *folder, const char *file,
		     int64_t size, struct strbuf *err)
{
	bool tensors = strcmp(file, "metadata.jsonl");
	struct strbuf path = STRBUF_INIT;
	const void *buf;
	size_t n;
	la_int64_t at;
	int r = 0, ret = 0;

	errno = 0;
	strbuf_addf(&path, "%s/%s", folder, file);
	mkdirat(s->dirfd, folder, 0777);
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
	close(s->fd);
	return ret;
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
		char *file = strrchr(path, '/'), *folder = NULL;
		struct dump_name name;

		if (file) {
			*file++ = '\0';
			folder = strrchr(path, '/');
			folder = folder ? folder + 1 : path;
		}
		if (folder && archive_entry_filetype(e) == AE_IFREG &&
		    (!strcmp(file, "metadata.jsonl") ||
		     !strcmp(file, "inputs.safetensors")) &&
		    dump_name_parse(&name, folder) && want(name.function))
			ret = take_file(&s, folder, file,
					archive_entry_size(e), err);
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
