/* A recorded call: metadata.jsonl and tensors of either kind, by the first byte. */
#include "dump.h"
#include "fuzz.h"
#include "outfile.h"

#include <fcntl.h>
#include <sys/stat.h>

static void put(const char *path, const void *data, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, data, n) != (ssize_t)n)
		abort();
	close(fd);
}

static char dir[] = "/tmp/fuzz-dump.XXXXXX";

static void remove_dir(void)
{
	struct strbuf no = STRBUF_INIT;

	outfile_remove_tree(dir, &no);
	strbuf_release(&no);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	static int dirfd = -1;
	static const char meta[] = "{\"execution_status\": \"completed\","
		" \"function_signature\": \"(a, b: int = 1, *c, d=[1, 'x'])\"}";
	struct strbuf err = STRBUF_INIT;
	struct dump_value v;
	struct dump d;
	const char *const names[] = { "a", "b", "c", "d" };
	size_t i;

	if (dirfd < 0) {
		if (!mkdtemp(dir) || (dirfd = open(dir, O_DIRECTORY)) < 0 ||
		    mkdirat(dirfd, "x", 0700))
			abort();
		atexit(remove_dir);
	}
	if (!size)
		return 0;
	snprintf(path, sizeof(path), "%s/x/metadata.jsonl", dir);
	put(path, data[0] == 'm' ? (const char *)data + 1 : meta,
	    data[0] == 'm' ? size - 1 : sizeof(meta) - 1);
	snprintf(path, sizeof(path), "%s/x/inputs.safetensors", dir);
	unlink(path);
	if (data[0] == 'p')
		snprintf(path, sizeof(path), "%s/x/inputs.pt", dir);
	put(path, data + 1, size - 1);
	if (!dump_open(&d, dirfd, "x", &err)) {
		for (i = 0; i < 4; i++) {
			strbuf_reset(&err);
			if (!dump_arg(&d, names[i], -1, &v, &err) &&
			    v.kind == DUMP_TENSOR && v.t.size < 4096 &&
			    v.t.dtype[0] == 'I') {
				size_t n;

				free(st_ints(&d.tensors, &v.t, &n, &err));
			}
		}
		dump_close(&d);
	} else if (!err.len) {
		abort();
	}
	strbuf_release(&err);
	return 0;
}
