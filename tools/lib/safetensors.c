#include "safetensors.h"
#include "fileio.h"

#include <fcntl.h>
#include <sys/stat.h>

#define MAX_HEADER ((uint64_t)16 << 20)
#define MAX_INTS ((uint64_t)1 << 30)

static const struct {
	const char *st, *name;
	unsigned size;
	bool integer;
} dtypes[] = {
	{ "F64", "float64", 8, false }, { "F32", "float32", 4, false },
	{ "F16", "float16", 2, false }, { "BF16", "bfloat16", 2, false },
	{ "F8_E4M3", "float8_e4m3fn", 1, false },
	{ "F8_E5M2", "float8_e5m2", 1, false },
	{ "I64", "int64", 8, true }, { "I32", "int32", 4, true },
	{ "I16", "int16", 2, true }, { "I8", "int8", 1, true },
	{ "U8", "uint8", 1, true }, { "BOOL", "bool", 1, true },
};

static int find_dtype(const char *s)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dtypes); i++)
		if (!strcmp(dtypes[i].st, s))
			return (int)i;
	return -1;
}

const char *st_dtype_name(const char *dtype)
{
	int i = find_dtype(dtype);

	return i < 0 ? NULL : dtypes[i].name;
}

#define HEAD 4096	/* files up to here are read whole */

static int st_read(const struct safetensors *st, void *buf, size_t n,
		   uint64_t at)
{
	if (at + n > st->head_len)
		return file_get(st->fd, buf, n, at);
	memcpy(buf, st->head + at, n);
	return 0;
}

int st_open(struct safetensors *st, const char *path, struct strbuf *err)
{
	/* a pipe without a writer is no file, and not waited for */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		return st_open_fd(st, fd, path, err);
	*st = (struct safetensors){ .fd = -1 };
	strbuf_addf(err, "unable to open %s: %s", path, strerror(errno));
	return -1;
}

int st_open_fd(struct safetensors *st, int fd, const char *path,
	       struct strbuf *err)
{
	uint64_t n = 0;
	struct stat s;
	char *text;
	int i;

	*st = (struct safetensors){ .fd = fd };
	if (fstat(fd, &s)) {
		strbuf_addf(err, "unable to look at %s: %s", path,
			    strerror(errno));
		goto fail;
	}
	st->file_size = (uint64_t)s.st_size;
	/* a small file at once; of a large one no byte but what is asked for */
	st->head_len = st->file_size <= HEAD ? st->file_size : 8;
	st->head = xmalloc(st->head_len + 8);
	if (!S_ISREG(s.st_mode) || st->head_len < 8 ||
	    file_get(st->fd, st->head, st->head_len, 0)) {
		strbuf_addf(err, "%s is no safetensors file: it has no"
			    " header", path);
		goto fail;
	}
	for (i = 7; i >= 0; i--)
		n = n << 8 | (unsigned char)st->head[i];
	if (n > MAX_HEADER || n + 8 > st->file_size) {
		strbuf_addf(err, "%s is no safetensors file, or cut: its"
			    " header would have %llu bytes", path,
			    (unsigned long long)n);
		goto fail;
	}
	text = st->head + 8;
	if (n + 8 > st->head_len) {
		text = st->text = xmalloc(n);
		if (file_get(fd, text, n, 8)) {
			strbuf_addf(err, "unable to read %s: %s", path,
				    strerror(errno));
			goto fail;
		}
	}
	st->header = jdoc_parse(&st->doc, text, n, path, err);
	st->data = n + 8;
	if (jv_is(st->header, J_OBJ))
		return 0;
	if (st->header)
		strbuf_addf(err, "%s: its header is no JSON object", path);
fail:
	st_close(st);
	return -1;
}

void st_close(struct safetensors *st)
{
	if (st->fd >= 0)
		close(st->fd);
	jdoc_release(&st->doc);
	free(st->head);
	free(st->text);
	*st = (struct safetensors){ .fd = -1 };
}

int st_find(const struct safetensors *st, const char *name,
	    struct st_tensor *t, struct strbuf *err)
{
	const struct jval *e = jv_get(st->header, name), *v;
	const struct jval *shape = jv_get(e, "shape");
	const struct jval *off = jv_get(e, "data_offsets");
	uint64_t count = 1, from, to;
	int d;

	*t = (struct st_tensor){ .dtype = jv_get_str(e, "dtype") };
	if (!e) {
		strbuf_addf(err, "there is no tensor '%s' in it", name);
		return -1;
	}
	d = t->dtype ? find_dtype(t->dtype) : -1;
	if (d < 0 || !jv_is(shape, J_ARR) || shape->n > ST_MAX_DIMS ||
	    !jv_is(off, J_ARR) || off->n != 2)
		goto bad;
	jv_each(v, shape) {
		int64_t n = jv_int(v);

		if (!jv_is(v, J_INT) || n < 0 ||
		    __builtin_mul_overflow(count, (uint64_t)n, &count))
			goto bad;
		t->shape[t->ndim++] = n;
	}
	from = (uint64_t)jv_int(jv_at(off, 0));
	to = (uint64_t)jv_int(jv_at(off, 1));
	if (from > to || to > st->file_size - st->data ||
	    __builtin_mul_overflow(count, dtypes[d].size, &count) ||
	    count != to - from)
		goto bad;
	t->offset = st->data + from;
	t->size = to - from;
	return 0;
bad:
	strbuf_addf(err, "the entry of tensor '%s' is not possible for a file"
		    " of %llu bytes", name,
		    (unsigned long long)st->file_size);
	return -1;
}

int st_bytes(const struct safetensors *st, const struct st_tensor *t,
	     void *buf, struct strbuf *err)
{
	if (!st_read(st, buf, t->size, t->offset))
		return 0;
	strbuf_addf(err, "unable to read a tensor: %s", strerror(errno));
	return -1;
}

int64_t *st_ints(const struct safetensors *st, const struct st_tensor *t,
		 size_t *n, struct strbuf *err)
{
	int d = find_dtype(t->dtype);
	unsigned size = dtypes[d].size;
	unsigned char *raw;
	int64_t *v;
	size_t i;

	if (!dtypes[d].integer || t->size > MAX_INTS) {
		strbuf_addf(err, "a tensor of %s and %llu bytes is not read as"
			    " integers", t->dtype,
			    (unsigned long long)t->size);
		return NULL;
	}
	raw = xmalloc(t->size);
	if (st_read(st, raw, t->size, t->offset)) {
		strbuf_addf(err, "unable to read a tensor: %s",
			    strerror(errno));
		free(raw);
		return NULL;
	}
	*n = t->size / size;
	v = xcalloc(*n, sizeof(*v));
	for (i = 0; i < *n; i++) {
		const unsigned char *p = raw + i * size;
		uint64_t u = 0;
		unsigned k;

		for (k = size; k-- > 0;)
			u = u << 8 | p[k];
		if (size < 8 && t->dtype[0] == 'I' && (u >> (size * 8 - 1)))
			u |= ~(uint64_t)0 << (size * 8);
		v[i] = (int64_t)u;
	}
	free(raw);
	return v;
}
