#include "sim_dump.h"
#include "fileio.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#define BEGAN 1767225600	/* 2026-01-01: a run has no date of its own */

/* In the order of safetensors' own list. */
static const struct {
	const char *name, *st;
	unsigned size;
} dtypes[] = {
	{ "bool", "BOOL", 1 }, { "uint8", "U8", 1 }, { "int8", "I8", 1 },
	{ "float8_e5m2", "F8_E5M2", 1 }, { "float8_e4m3fn", "F8_E4M3", 1 },
	{ "int16", "I16", 2 }, { "float16", "F16", 2 },
	{ "bfloat16", "BF16", 2 }, { "int32", "I32", 4 },
	{ "float32", "F32", 4 }, { "int64", "I64", 8 },
};

static int dtype_index(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dtypes); i++)
		if (!strcmp(dtypes[i].name, name))
			return (int)i;
	/* two of fp4 are a byte */
	return !strcmp(name, "float4_e2m1") ? 1 : -1;
}

size_t sim_dtype_size(const char *dtype)
{
	int i = dtype_index(dtype);

	return i < 0 ? 0 : dtypes[i].size;
}

static uint64_t count_of(const struct sim_tensor *t)
{
	uint64_t n = 1;
	int i;

	for (i = 0; i < t->ndim; i++)
		n *= (uint64_t)t->shape[i];
	return n;
}

static uint64_t bytes_of(const struct sim_tensor *t)
{
	return count_of(t) * dtypes[dtype_index(t->dtype)].size;
}

/* ---- a file of tensors ---- */

struct named {
	char key[64];
	const struct sim_tensor *t;
	uint64_t from;
};

/* As safetensors orders a file: by dtype, the last of its list first. */
static int by_file_order(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int d = dtype_index(y->t->dtype) - dtype_index(x->t->dtype);

	return d ? d : strcmp(x->key, y->key);
}

static void add_shape(struct strbuf *sb, const struct sim_tensor *t,
		      const char *comma)
{
	int i;

	strbuf_addch(sb, '[');
	for (i = 0; i < t->ndim; i++)
		strbuf_addf(sb, "%s%lld", i ? comma : "",
			    (long long)t->shape[i]);
	strbuf_addch(sb, ']');
}

static int write_values(int fd, const struct named *v, uint64_t data)
{
	unsigned size = dtypes[dtype_index(v->t->dtype)].size, k;
	uint64_t n = count_of(v->t), i;
	unsigned char *raw;
	int ret;

	if (!v->t->values)
		return 0;
	raw = xmalloc(n * size + 1);
	for (i = 0; i < n; i++)
		for (k = 0; k < size; k++)
			raw[i * size + k] = (unsigned char)
				((uint64_t)v->t->values[i] >> (8 * k));
	ret = file_put(fd, raw, n * size, data + v->from);
	free(raw);
	return ret;
}

static int write_tensors(int dir, const char *file, struct named *v, size_t n,
			 struct strbuf *err)
{
	int fd = openat(dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0666), ret = -1;
	struct strbuf head = STRBUF_INIT;
	unsigned char len[8];
	uint64_t at = 0;
	size_t i;

	qsort(v, n, sizeof(*v), by_file_order);
	strbuf_addch(&head, '{');
	for (i = 0; i < n; i++) {
		v[i].from = at;
		at += bytes_of(v[i].t);
		strbuf_addf(&head, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":",
			    i ? "," : "", v[i].key,
			    dtypes[dtype_index(v[i].t->dtype)].st);
		add_shape(&head, v[i].t, ",");
		strbuf_addf(&head, ",\"data_offsets\":[%llu,%llu]}",
			    (unsigned long long)v[i].from,
			    (unsigned long long)at);
	}
	strbuf_addch(&head, '}');
	while (head.len % 8)
		strbuf_addch(&head, ' ');
	for (i = 0; i < 8; i++)
		len[i] = (unsigned char)(head.len >> (8 * i));
	if (fd >= 0 && !file_put(fd, len, 8, 0) &&
	    !file_put(fd, head.buf, head.len, 8) &&
	    !ftruncate(fd, (off_t)(8 + head.len + at)))
		ret = 0;
	for (i = 0; i < n && !ret; i++)
		ret = write_values(fd, &v[i], 8 + head.len);
	if (ret)
		strbuf_addf(err, "unable to write %s of a dump: %s", file,
			    strerror(errno));
	if (fd >= 0)
		close(fd);
	strbuf_release(&head);
	return ret;
}

/* ---- metadata ---- */

static void add_tensor_item(struct strbuf *sb, const struct sim_tensor *t,
			    const char *key)
{
	int64_t stride[SIM_DIMS], s = 1;
	int i;

	strbuf_addstr(sb, "{\"type\": \"torch.Tensor\", \"shape\": ");
	add_shape(sb, t, ", ");
	for (i = t->ndim; i-- > 0;) {
		stride[i] = s;
		s *= t->shape[i];
	}
	strbuf_addf(sb, ", \"dtype\": \"torch.%s\", \"stride\": [",
		    t->dtype);
	for (i = 0; i < t->ndim; i++)
		strbuf_addf(sb, "%s%lld", i ? ", " : "",
			    (long long)stride[i]);
	strbuf_addf(sb, "], \"device\": \"cuda:0\", \"requires_grad\": false,"
		    " \"is_contiguous\": true, \"tensor_key\": \"%s\"}", key);
}

static void add_detail(struct strbuf *sb, const struct named *v, bool first)
{
	int64_t stride[SIM_DIMS], s = 1;
	int i;

	for (i = v->t->ndim; i-- > 0;) {
		stride[i] = s;
		s *= v->t->shape[i];
	}
	strbuf_addf(sb, "%s\"%s\": {\"shape\": ", first ? "" : ", ", v->key);
	add_shape(sb, v->t, ", ");
	strbuf_addf(sb, ", \"dtype\": \"torch.%s\", \"stride\": [",
		    v->t->dtype);
	for (i = 0; i < v->t->ndim; i++)
		strbuf_addf(sb, "%s%lld", i ? ", " : "",
			    (long long)stride[i]);
	strbuf_addstr(sb, "], \"device\": \"cpu\"}");
}

static void key_of(char key[64], const struct sim_arg *a, size_t position,
		   int member)
{
	char tail[8] = "";

	if (member >= 0)
		snprintf(tail, sizeof(tail), "__%d", member);
	if (a->name)
		snprintf(key, 64, "kwarg_%.48s%s", a->name, tail);
	else
		snprintf(key, 64, "arg_%zu%s", position, tail);
}

static void add_args(struct strbuf *sb, const struct sim_call *c)
{
	size_t at = c->self ? 1 : 0, i;
	bool first = !c->self;
	char key[64], part[64];

	strbuf_addstr(sb, "{");
	if (c->self)
		strbuf_addf(sb, "\"arg_0\": {\"type\": \"%s\", \"repr\":"
			    " \"<%s.%s object at 0x%lx>\"}", c->self,
			    c->module, c->self, (unsigned long)c->self_id);
	for (i = 0; i < c->n; i++) {
		const struct sim_arg *a = &c->arg[i];

		key_of(key, a, at, -1);
		at += !a->name;
		if (a->kind == SIM_TENSOR)
			continue;
		strbuf_addf(sb, "%s\"%s\": ", first ? "" : ", ", key);
		first = false;
		switch (a->kind) {
		case SIM_PAIR:
			strbuf_addstr(sb, "{\"type\": \"tuple\", \"length\":"
				      " 2, \"items\": [");
			snprintf(part, sizeof(part), "%.60s__0", key);
			add_tensor_item(sb, &a->t[0], part);
			strbuf_addstr(sb, ", ");
			snprintf(part, sizeof(part), "%.60s__1", key);
			add_tensor_item(sb, &a->t[1], part);
			strbuf_addstr(sb, "], \"truncated\": false}");
			break;
		case SIM_NUMBER:
			strbuf_addf(sb, "%lld", (long long)a->number);
			break;
		case SIM_REAL:
			strbuf_add_double(sb, a->number);
			break;
		case SIM_BOOL:
			strbuf_addstr(sb, a->number != 0 ? "true" : "false");
			break;
		case SIM_TEXT:
			strbuf_addf(sb, "\"%s\"", a->text);
			break;
		case SIM_DTYPE:
			strbuf_addf(sb, "{\"type\": \"torch.dtype\","
				    " \"value\": \"torch.%s\"}", a->text);
			break;
		default:
			strbuf_addstr(sb, "null");
		}
	}
	strbuf_addch(sb, '}');
}

static void add_keys(struct strbuf *sb, const struct named *v, size_t n)
{
	size_t i;

	strbuf_addch(sb, '[');
	for (i = 0; i < n; i++)
		strbuf_addf(sb, "%s\"%s\"", i ? ", " : "", v[i].key);
	strbuf_addch(sb, ']');
}

static void add_size(struct strbuf *sb, const char *name, uint64_t bytes)
{
	strbuf_addf(sb, ", \"%s_size_bytes\": %llu, \"%s_size_mb\": ", name,
		    (unsigned long long)bytes, name);
	strbuf_add_double(sb, (double)bytes / (1 << 20));
	if (bytes % (1 << 20) == 0)
		strbuf_addstr(sb, ".0");
}

/* One record; done: the second, with what came out. */
static void add_line(struct strbuf *sb, const struct sim_call *c,
		     const char *stamp, const char *folder,
		     const struct named *in, size_t nin,
		     const struct named *out, size_t nout, bool done)
{
	uint64_t have = 0, gave = 0;
	size_t i;

	for (i = 0; i < nin; i++)
		have += bytes_of(in[i].t);
	for (i = 0; i < nout; i++)
		gave += bytes_of(out[i].t);
	strbuf_addf(sb, "{\"function_name\": \"%s\", \"module\": \"%s\","
		    " \"call_sequence\": %ld, \"timestamp\": \"%s\","
		    " \"process_id\": 1, \"input_metadata\": ", c->function,
		    c->module, c->sequence, stamp);
	add_args(sb, c);
	strbuf_addf(sb, ", \"output_metadata\": %s, \"tensor_info\":"
		    " {\"input_tensor_keys\": ", done && !nout ?
		    "{\"result\": null}" : "{}");
	add_keys(sb, in, nin);
	strbuf_addstr(sb, ", \"output_tensor_keys\": ");
	add_keys(sb, out, done ? nout : 0);
	add_size(sb, "input", have);
	if (done) {
		add_size(sb, "output", gave);
		add_size(sb, "total", have + gave);
	}
	strbuf_addstr(sb, "}, \"tensor_details\": {");
	for (i = 0; i < nin; i++)
		add_detail(sb, &in[i], !i);
	for (i = 0; done && i < nout; i++)
		add_detail(sb, &out[i], !i && !nin);
	strbuf_addf(sb, "}, \"tensor_format\": \"safetensors\","
		    " \"function_signature\": \"%s\", \"versions\":"
		    " {\"torch\": \"simulated\", \"python\": \"simulated\","
		    " \"flashinfer\": \"simulated\"}, \"execution_status\":"
		    " \"%s\", \"graph_capture\": false, ", c->signature,
		    done ? "completed" : "inputs_saved");
	if (c->self)
		strbuf_addf(sb, "\"self_id\": %ld, ", c->self_id);
	strbuf_addf(sb, "\"dump_dir\": \"%s\"}\n", folder);
}

/* ---- the whole ---- */

static void stamp_of(char stamp[40], long long ms)
{
	time_t t = BEGAN + (time_t)(ms / 1000);
	struct tm tm;

	gmtime_r(&t, &tm);
	snprintf(stamp, 40, "%04d%02d%02d_%02d%02d%02d_%03u",
		 (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100,
		 tm.tm_mday % 100, tm.tm_hour % 100, tm.tm_min % 100,
		 tm.tm_sec % 100, (unsigned)(ms % 1000) % 1000u);
}

static size_t name_inputs(const struct sim_call *c, struct named *v)
{
	size_t at = c->self ? 1 : 0, n = 0, i;
	int k;

	for (i = 0; i < c->n; i++) {
		const struct sim_arg *a = &c->arg[i];
		bool pair = a->kind == SIM_PAIR;

		for (k = 0; k < (pair ? 2 : a->kind == SIM_TENSOR); k++) {
			key_of(v[n].key, a, at, pair ? k : -1);
			v[n++].t = &a->t[k];
		}
		at += !a->name;
	}
	return n;
}

int sim_dump(int dirfd, const struct sim_call *c, struct strbuf *err)
{
	struct named *in = xcalloc(2 * c->n + 1, sizeof(*in)), out[2];
	struct strbuf meta = STRBUF_INIT, folder = STRBUF_INIT;
	size_t nin = name_inputs(c, in), i;
	char stamp[40];
	int dir = -1, fd = -1, ret = -1;

	stamp_of(stamp, c->ms);
	strbuf_addf(&folder, "%s_pid1_%s_call%04ld", stamp, c->function,
		    c->sequence);
	for (i = 0; i < c->nout && i < 2; i++) {
		if (c->nout == 1)
			snprintf(out[i].key, sizeof(out[i].key), "result");
		else
			snprintf(out[i].key, sizeof(out[i].key), "result_%zu",
				 i);
		out[i].t = &c->out[i];
	}
	add_line(&meta, c, stamp, folder.buf, in, nin, out, c->nout, false);
	add_line(&meta, c, stamp, folder.buf, in, nin, out, c->nout, true);
	if ((mkdirat(dirfd, folder.buf, 0777) && errno != EEXIST) ||
	    (dir = openat(dirfd, folder.buf, O_RDONLY | O_DIRECTORY |
			  O_CLOEXEC)) < 0) {
		strbuf_addf(err, "unable to make %s: %s", folder.buf,
			    strerror(errno));
		goto done;
	}
	if (write_tensors(dir, "inputs.safetensors", in, nin, err) ||
	    (c->nout && write_tensors(dir, "outputs.safetensors", out,
				      c->nout, err)))
		goto done;
	fd = openat(dir, "metadata.jsonl", O_WRONLY | O_CREAT | O_TRUNC |
		    O_CLOEXEC, 0666);
	if (fd < 0 || file_put(fd, meta.buf, meta.len, 0))
		strbuf_addf(err, "unable to write %s/metadata.jsonl: %s",
			    folder.buf, strerror(errno));
	else
		ret = 0;
done:
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
	free(in);
	strbuf_release(&meta);
	strbuf_release(&folder);
	return ret;
}
