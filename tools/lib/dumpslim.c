#include "dumpslim.h"
#include "dump.h"
#include "outfile.h"

#include <fcntl.h>
#include <sys/stat.h>

#define SMALL 4096	/* a block: less cannot be given back */

int dumpslim_open(struct dumpslim *s, const char *folder, struct strbuf *err)
{
	struct strbuf inside = STRBUF_INIT;

	*s = (struct dumpslim){ .dirfd = -1, .done = json_object() };
	strbuf_addf(&inside, "%s/", folder);
	if (outfile_mkdirs(inside.buf, err)) {
		strbuf_release(&inside);
		return -1;
	}
	strbuf_release(&inside);
	s->dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dirfd < 0) {
		strbuf_addf(err, "unable to open %s: %s", folder,
			    strerror(errno));
		return -1;
	}
	return 0;
}

void dumpslim_close(struct dumpslim *s)
{
	if (s->dirfd >= 0)
		close(s->dirfd);
	json_decref(s->done);
	s->dirfd = -1;
	s->done = NULL;
}

/* The last line says that the call returned. */
static bool is_complete(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);
	char *last;

	if (n <= 0 || buf[n - 1] != '\n')
		return false;
	buf[n - 1] = '\0';
	last = memrchr(buf, '\n', (size_t)n - 1);
	return strstr(last ? last : buf, "\"completed\"") ||
		strstr(buf, "graph_capture");
}

static void punch(int fd, const char *name)
{
	struct strbuf no = STRBUF_INIT;
	struct safetensors st;
	struct st_tensor t;
	struct stat before;
	const struct jval *v;

	if (fstat(fd, &before) || st_open_fd(&st, dup(fd), name, &no)) {
		strbuf_release(&no);	/* dumpwl tells what is wrong */
		return;
	}
	jv_each(v, st.header)
		if (!st_find(&st, v->key, &t, &no) && t.size >= SMALL &&
		    (t.dtype[0] == 'F' || t.dtype[0] == 'B') &&
		    strcmp(t.dtype, "BOOL"))
			fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				  FALLOC_FL_KEEP_SIZE, (off_t)t.offset,
				  (off_t)t.size);
	/* when it was written tells plans of one millisecond apart */
	futimens(fd, (struct timespec[]){ before.st_atim, before.st_mtim });
	st_close(&st);
	strbuf_release(&no);
}

static uint64_t on_disk(int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	return (uint64_t)st.st_blocks * 512;
}

static uint64_t size_of(int dir)
{
	static const char *const files[] = { "metadata.jsonl",
		"inputs.safetensors", "outputs.safetensors", "inputs.pt",
		"outputs.pt" };
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		n += on_disk(dir, files[i]);
	return n;
}

static void slim(struct dumpslim *s, const char *name, bool all, char *buf,
		 size_t size)
{
	int dir, fd, in;
	uint64_t had;

	dir = openat(s->dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
		     O_NOFOLLOW);
	if (dir < 0)
		return;
	had = size_of(dir);
	fd = openat(dir, "metadata.jsonl", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (!all && (fd < 0 || !is_complete(fd, buf, size))) {
		s->held += had;
	} else {
		unlinkat(dir, "outputs.safetensors", 0);
		unlinkat(dir, "outputs.pt", 0);
		in = openat(dir, "inputs.safetensors", O_RDWR | O_CLOEXEC |
			    O_NOFOLLOW);
		if (in >= 0) {
			punch(in, name);
			close(in);
		}
		json_object_set_new(s->done, name, json_true());
		s->calls++;
		s->kept += size_of(dir);
		s->freed += had - size_of(dir);
	}
	if (fd >= 0)
		close(fd);
	close(dir);
}

int dumpslim_step(struct dumpslim *s, bool all, struct strbuf *err)
{
	const size_t size = (size_t)1 << 20;
	struct dump_name n;
	struct dirent **v;
	int count, i;
	char *buf;

	count = scandirat(s->dirfd, ".", &v, dir_visible, NULL);
	if (count < 0) {
		strbuf_addf(err, "unable to list the dumps: %s",
			    strerror(errno));
		return -1;
	}
	buf = xcalloc(1, size);
	s->held = 0;
	for (i = 0; i < count; i++) {
		if (dump_name_parse(&n, v[i]->d_name) &&
		    !json_object_get(s->done, v[i]->d_name))
			slim(s, v[i]->d_name, all, buf, size);
		free(v[i]);
	}
	free(v);
	free(buf);
	return 0;
}
