#include "torchpt.h"
#include "fileio.h"
#include "zipdir.h"

#include <sys/stat.h>

#define MAX_PICKLE ((uint64_t)16 << 20)
#define MAX_STACK 65536
#define MAX_TUPLES 10000	/* they nest, and are freed by recursion */

struct unpickler {
	const unsigned char *p, *end;
	json_t *stack, *memo, *files;
	json_t *marks;			/* heights of the stack */
	size_t tuples;
	struct strbuf *err;
};

static void push(struct unpickler *u, json_t *v)
{
	json_array_append_new(u->stack, v ? v : json_null());
}

static json_t *pop(struct unpickler *u)
{
	size_t n = json_array_size(u->stack);
	json_t *v = n ? json_incref(json_array_get(u->stack, n - 1)) : NULL;

	if (n)
		json_array_remove(u->stack, n - 1);
	return v;
}

/* What stands above the last mark. */
static json_t *above_mark(struct unpickler *u)
{
	size_t m = json_array_size(u->marks), from, i;
	json_t *items = json_array();

	from = m ? (size_t)json_integer_value(json_array_get(u->marks, m - 1))
		 : 0;
	if (m)
		json_array_remove(u->marks, m - 1);
	for (i = from; i < json_array_size(u->stack); i++)
		json_array_append(items, json_array_get(u->stack, i));
	while (json_array_size(u->stack) > from)
		json_array_remove(u->stack, json_array_size(u->stack) - 1);
	return items;
}

static bool take(struct unpickler *u, uint64_t n, const unsigned char **at)
{
	if ((uint64_t)(u->end - u->p) < n)
		return false;
	*at = u->p;
	u->p += n;
	return true;
}

static const struct {
	const char *name, *dtype;
	unsigned size;
} storages[] = {
	{ "FloatStorage", "F32", 4 }, { "HalfStorage", "F16", 2 },
	{ "BFloat16Storage", "BF16", 2 }, { "DoubleStorage", "F64", 8 },
	{ "IntStorage", "I32", 4 }, { "LongStorage", "I64", 8 },
	{ "ShortStorage", "I16", 2 }, { "CharStorage", "I8", 1 },
	{ "ByteStorage", "U8", 1 }, { "BoolStorage", "BOOL", 1 },
	{ "float8_e4m3fn", "F8_E4M3", 1 }, { "float8_e5m2", "F8_E5M2", 1 },
	{ "UntypedStorage", "U8", 1 },
};

static int storage_index(const json_t *global)
{
	const char *s = json_get_str(global, "global");
	size_t i;

	s = s && strrchr(s, '.') ? strrchr(s, '.') + 1 : s;
	for (i = 0; s && i < ARRAY_SIZE(storages); i++)
		if (!strcmp(s, storages[i].name))
			return (int)i;
	return -1;
}

/* ('storage', torch.XStorage, key, device, numel) */
static json_t *storage(const json_t *id)
{
	json_t *key = json_array_get(id, 2);

	if (!json_is_array(id) || json_array_size(id) < 5 ||
	    !json_is_string(key) ||
	    storage_index(json_array_get(id, 1)) < 0)
		return NULL;
	return json_pack("{s:O, s:i}", "storage", key, "kind",
			 storage_index(json_array_get(id, 1)));
}

/* _rebuild_tensor_v2(storage, offset, size, stride, ...) */
static json_t *tensor(struct unpickler *u, const json_t *args)
{
	const json_t *st = json_array_get(args, 0), *file;
	json_t *shape = json_array_get(args, 2), *v;
	const json_t *stride = json_array_get(args, 3);
	struct strbuf name = STRBUF_INIT;
	json_int_t from, bytes = 1, step = 1;
	size_t i;
	int kind = (int)json_integer_value(json_object_get(st, "kind"));

	if (json_array_size(args) >= 7 &&
	    storage_index(json_array_get(args, 6)) >= 0)
		kind = storage_index(json_array_get(args, 6));
	if (!json_get_str(st, "storage") || !json_is_array(shape) ||
	    json_array_size(shape) != json_array_size(stride))
		return NULL;
	strbuf_addf(&name, "data/%s", json_get_str(st, "storage"));
	file = json_object_get(u->files, name.buf);
	strbuf_release(&name);
	if (!file)
		return NULL;
	for (i = json_array_size(shape); i-- > 0;) {
		json_int_t n;

		v = json_array_get(shape, i);
		n = json_integer_value(v);
		if (!json_is_integer(v) || n < 0)
			return NULL;
		if (n > 1 && json_integer_value(json_array_get(stride, i)) !=
		    step)
			return json_object();	/* not contiguous */
		if (__builtin_mul_overflow(step, n ? n : 1, &step))
			return NULL;
		bytes = n ? bytes : 0;
	}
	if (__builtin_mul_overflow(step, (json_int_t)storages[kind].size,
				   &step) ||
	    __builtin_mul_overflow(json_integer_value(json_array_get(args, 1)),
				   (json_int_t)storages[kind].size, &from))
		return NULL;
	bytes = bytes ? step : 0;
	if (from < 0 || from > json_integer_value(json_array_get(file, 1)) ||
	    bytes > json_integer_value(json_array_get(file, 1)) - from)
		return NULL;
	from += json_integer_value(json_array_get(file, 0));
	return json_pack("{s:s, s:O, s:[I,I]}", "dtype", storages[kind].dtype,
			 "shape", shape, "data_offsets", from, from + bytes);
}

static json_t *reduce(struct unpickler *u, const json_t *fn,
		      const json_t *args)
{
	const char *name = json_get_str(fn, "global");

	if (name && (!strcmp(name, "torch._utils._rebuild_tensor_v2") ||
		     !strcmp(name, "torch._utils._rebuild_tensor_v3")))
		return tensor(u, args);
	if (name && !strcmp(name, "collections.OrderedDict"))
		return json_object();
	return NULL;
}

static json_t *global(const char *module, size_t m, const char *name,
		      size_t n)
{
	struct strbuf sb = STRBUF_INIT;
	json_t *g;

	strbuf_add(&sb, module, m);
	strbuf_addch(&sb, '.');
	strbuf_add(&sb, name, n);
	g = json_pack("{s:s}", "global", sb.buf);
	strbuf_release(&sb);
	return g;
}

static void set_items(struct unpickler *u, json_t *items)
{
	json_t *dict = json_array_get(u->stack,
				      json_array_size(u->stack) - 1);
	size_t i;

	for (i = 0; i + 1 < json_array_size(items); i += 2) {
		const char *key = json_string_value(json_array_get(items, i));

		if (key && json_is_object(dict))
			json_object_set(dict, key,
					json_array_get(items, i + 1));
	}
	json_decref(items);
}

/* A new tuple of the n topmost. */
static json_t *topmost(struct unpickler *u, int n)
{
	json_t *t = json_array(), *v;

	while (n-- > 0) {
		v = pop(u);
		json_array_insert_new(t, 0, v ? v : json_null());
	}
	return t;
}

static bool constant(struct unpickler *u, int op)
{
	const unsigned char *p = NULL;
	uint64_t n;

	switch (op) {
	case 'K': case 'M': case 'J':
		n = op == 'K' ? 1 : op == 'M' ? 2 : 4;
		if (take(u, n, &p))
			push(u, json_integer(op == 'J' ?
				(json_int_t)(int32_t)zip_little(p, 4) :
				(json_int_t)zip_little(p, (int)n)));
		return p;
	case 0x8a:		/* LONG1, two's complement */
		if (!take(u, 1, &p) || *p > 8)
			return false;
		n = *p;
		if (!take(u, n, &p))
			return false;
		push(u, json_integer((json_int_t)(n && p[n - 1] >> 7 && n < 8
			? zip_little(p, (int)n) | ~(uint64_t)0 << (8 * n)
			: zip_little(p, (int)n))));
		return true;
	case 'X': case 0x8c:
		if (!take(u, op == 'X' ? 4 : 1, &p))
			return false;
		n = zip_little(p, op == 'X' ? 4 : 1);
		if (!take(u, n, &p))
			return false;
		push(u, json_stringn((const char *)p, n));
		return true;
	case 'G':
		if (take(u, 8, &p))
			push(u, json_null());
		return p;
	case 'N': push(u, json_null()); return true;
	case 0x88: push(u, json_true()); return true;
	case 0x89: push(u, json_false()); return true;
	case '}': push(u, json_object()); return true;
	case ')': case ']': push(u, json_array()); return true;
	}
	return false;
}

static bool memory(struct unpickler *u, int op)
{
	const unsigned char *p = NULL;
	size_t top = json_array_size(u->stack);
	uint64_t at = json_array_size(u->memo);
	bool wide = op == 'r' || op == 'j';

	if (op != 0x94) {
		if (!take(u, wide ? 4 : 1, &p))
			return false;
		at = zip_little(p, wide ? 4 : 1);
	}
	if (op == 'h' || op == 'j') {
		json_t *v = json_array_get(u->memo, at);

		if (v)
			push(u, json_incref(v));
		return v;
	}
	if (!top || at > MAX_STACK)
		return false;
	while (json_array_size(u->memo) <= at)
		json_array_append_new(u->memo, json_null());
	json_array_set(u->memo, at, json_array_get(u->stack, top - 1));
	return true;
}

static bool build(struct unpickler *u, int op)
{
	const unsigned char *p = NULL, *nl, *from;
	json_t *a, *b, *v;

	switch (op) {
	case '(':
		json_array_append_new(u->marks, json_integer((json_int_t)
					json_array_size(u->stack)));
		return true;
	case 't':
		if (++u->tuples > MAX_TUPLES)
			return false;
		push(u, above_mark(u));
		return true;
	case 0x85: case 0x86: case 0x87:
		if (++u->tuples > MAX_TUPLES)
			return false;
		push(u, topmost(u, op - 0x84));
		return true;
	case 'u': case 's':
		if (++u->tuples > MAX_TUPLES)
			return false;
		set_items(u, op == 'u' ? above_mark(u) : topmost(u, 2));
		return true;
	case 'Q':
		a = pop(u);
		v = storage(a);
		break;
	case 'c':
		from = u->p;
		nl = memchr(from, '\n', (size_t)(u->end - from));
		p = nl ? memchr(nl + 1, '\n', (size_t)(u->end - nl - 1)) : NULL;
		if (!p)
			return false;
		push(u, global((const char *)from, (size_t)(nl - from),
			       (const char *)nl + 1, (size_t)(p - nl - 1)));
		u->p = p + 1;
		return true;
	case 0x93:
		b = pop(u);
		a = pop(u);
		v = json_is_string(a) && json_is_string(b) ?
			global(json_string_value(a), json_string_length(a),
			       json_string_value(b), json_string_length(b))
			: NULL;
		json_decref(b);
		break;
	case 'R':
		b = pop(u);
		a = pop(u);
		v = reduce(u, a, b);
		json_decref(b);
		break;
	default:
		return false;
	}
	json_decref(a);
	if (v)
		push(u, v);
	return v;
}

/* The dict of tensors; NULL with a sentence. */
static json_t *unpickle(struct unpickler *u)
{
	const unsigned char *p;

	while (u->p < u->end && json_array_size(u->stack) < MAX_STACK) {
		int op = *u->p++;

		if (op == '.') {
			json_t *v = pop(u);

			if (json_is_object(v))
				return v;
			json_decref(v);
			break;
		}
		if (op == 0x80 ? take(u, 1, &p) : op == 0x95 ? take(u, 8, &p)
		    : strchr("qrhj\x94", op) && op ? memory(u, op)
		    : constant(u, op) || build(u, op))
			continue;
		strbuf_addf(u->err, "its pickle does more than hold tensors"
			    " (opcode 0x%02x)", (unsigned)op);
		return NULL;
	}
	strbuf_addstr(u->err, "its pickle holds no dict of tensors");
	return NULL;
}

int torchpt_open_fd(struct safetensors *st, int fd, const char *path,
		    struct strbuf *err)
{
	struct unpickler u = { .err = err };
	json_t *at, *v, *header = NULL;
	unsigned char *text = NULL;
	const char *key;
	struct stat s;
	uint64_t n;
	void *tmp;

	*st = (struct safetensors){ .fd = fd };
	if (fstat(fd, &s) || !S_ISREG(s.st_mode) ||
	    !(u.files = zip_entries(fd, (uint64_t)s.st_size)) ||
	    !(at = json_object_get(u.files, "data.pkl"))) {
		strbuf_addf(err, "%s is none that torch.save() wrote", path);
		json_decref(u.files);
		st_close(st);
		return -1;
	}
	st->file_size = (uint64_t)s.st_size;
	n = (uint64_t)json_integer_value(json_array_get(at, 1));
	if (n <= MAX_PICKLE) {
		text = xmalloc(n + 1);
		u.stack = json_array();
		u.memo = json_array();
		u.marks = json_array();
		u.p = text;
		u.end = text + n;
		if (!file_get(fd, text, n, (uint64_t)json_integer_value(
					json_array_get(at, 0))))
			header = unpickle(&u);
	}
	/* what is no tensor is no entry of a header */
	json_object_foreach_safe(header, tmp, key, v)
		if (!json_get_str(v, "dtype"))
			json_object_del(header, key);
	if (header)
		st->header = jdoc_copy(&st->doc, header);
	json_decref(header);
	json_decref(u.stack);
	json_decref(u.memo);
	json_decref(u.marks);
	json_decref(u.files);
	free(text);
	if (st->header)
		return 0;
	if (!err->len)
		strbuf_addf(err, "%s cannot be read", path);
	st_close(st);
	return -1;
}
