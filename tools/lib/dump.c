#include "dump.h"
#include "fileio.h"
#include "torchpt.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MAX_META ((size_t)4 << 20)

bool dump_name_parse(struct dump_name *n, const char *folder)
{
	static const char form[] = "########_######_###_pid";
	const char *p, *call = NULL, *s;
	char *end;
	size_t i, len;

	for (i = 0; form[i]; i++)
		if (form[i] == '#' ? !isdigit((unsigned char)folder[i])
				   : form[i] != folder[i])
			return false;
	memcpy(n->time, folder, 19);
	n->time[19] = '\0';
	p = folder + sizeof(form) - 1;
	n->pid = strtol(p, &end, 10);
	if (end == p || *end != '_')
		return false;
	p = end + 1;
	for (s = p; (s = strstr(s, "_call")); s++)
		call = s;
	if (!call || !isdigit((unsigned char)call[5]))
		return false;
	n->call = strtol(call + 5, &end, 10);
	len = (size_t)(call - p);
	if (*end || !len || len >= sizeof(n->function))
		return false;
	memcpy(n->function, p, len);
	n->function[len] = '\0';
	return true;
}

/*
 * One parameter, "name: type = default": cut where it stands, and to[0] is the
 * comma or parenthesis behind it.
 */
static void parameter(struct dump *d, char *from, char *to)
{
	struct dump_param p = { NULL, NULL, false };
	char *stop, *t, *value = NULL;
	int depth = 0;

	while (from < to && *from == ' ')
		from++;
	for (stop = from; stop < to && !strchr(":= ", *stop); stop++)
		;
	for (t = stop; t < to && !value; t++) {
		depth += strchr("([{", *t) ? 1 : 0;
		depth -= strchr(")]}", *t) ? 1 : 0;
		if (!depth && *t == '=')
			value = t + 1;
	}
	if (stop == from || *from == '/')
		return;
	while (value && *value == ' ')
		value++;
	*to = '\0';
	if (*from != '*') {
		p.name = from;
		p.is_text = value && *value == '\'' && to - value > 1;
		p.value = p.is_text ? value + 1 : value;
		if (p.is_text)
			to[-1] = '\0';
		*stop = '\0';
	}
	d->params[d->nparams++] = p;
}

/* Splits "(self, a: int = 1, *args)" at its top-level commas. */
static void read_signature(struct dump *d, const char *signature)
{
	char *s, *from, quote = 0, last = ',';
	size_t commas = 1;
	int depth = 0;

	if (!signature || *signature != '(')
		return;
	for (s = d->signature = xstrdup(signature); *s; s++)
		commas += *s == ',';
	d->params = xcalloc(commas, sizeof(*d->params));
	for (from = s = d->signature + 1; *s && last == ','; s++) {
		if (quote)
			quote = *s == quote ? 0 : quote;
		else if (*s == '\'' || *s == '"')
			quote = *s;
		else if (strchr("([{", *s))
			depth++;
		else if (depth && strchr(")]}", *s))
			depth--;
		else if (!depth && (*s == ',' || *s == ')')) {
			last = *s;
			parameter(d, from, s);
			from = s + 1;
		}
	}
}

/* The last whole line with something in it. */
static const struct jval *last_line(struct dump *d, char *text, size_t end,
				    struct strbuf *err)
{
	const struct jval *v;
	size_t from;

	while (end && isspace((unsigned char)text[end - 1]))
		end--;
	for (from = end; from && text[from - 1] != '\n'; from--)
		;
	if (from == end) {
		strbuf_addstr(err, "metadata.jsonl is empty");
		return NULL;
	}
	v = jdoc_parse(&d->doc, text + from, end - from, "metadata.jsonl",
		       err);
	if (!v || v->type == J_OBJ)
		return v;
	strbuf_addstr(err, "the last line of metadata.jsonl is no object");
	return NULL;
}

static int open_in(int dirfd, const char *folder, const char *file)
{
	struct strbuf path = STRBUF_INIT;
	int fd;

	strbuf_addstr(&path, folder);
	strbuf_addch(&path, '/');
	strbuf_addstr(&path, file);
	fd = openat(dirfd, path.buf, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
		    O_NONBLOCK);
	strbuf_release(&path);
	return fd;
}

bool dump_in_graph(const struct dump *d)
{
	return jv_is(jv_get(d->meta, "graph_capture_flushed"), J_TRUE);
}

static int read_meta(struct dump *d, int dirfd, const char *folder,
		     struct strbuf *err)
{
	int fd = open_in(dirfd, folder, "metadata.jsonl");
	const char *status;
	struct stat st;
	size_t n;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		strbuf_addf(err, "metadata.jsonl: %s", fd < 0 ?
			    strerror(errno) : "no regular file");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	n = (size_t)st.st_size;
	d->text = n <= MAX_META ? xmalloc(n + 1) : NULL;
	if (!d->text || file_get(fd, d->text, n, 0)) {
		strbuf_addf(err, "metadata.jsonl: %s", d->text ?
			    "it cannot be read, or was cut meanwhile" :
			    "it is larger than 4 MiB");
		close(fd);
		return -1;
	}
	close(fd);
	d->meta = last_line(d, d->text, n, err);
	if (!d->meta)
		return -1;
	status = jv_get_str(d->meta, "execution_status");
	/* a replay is recorded when it is over, outputs or not */
	if ((!status || strcmp(status, "completed")) && !dump_in_graph(d)) {
		strbuf_addf(err, "the call did not complete (%s)", status ?
			    status : "no status");
		return -1;
	}
	return 0;
}

int dump_open(struct dump *d, int dirfd, const char *folder,
	      struct strbuf *err)
{
	int fd;

	*d = (struct dump){ .tensors.fd = -1 };
	if (read_meta(d, dirfd, folder, err))
		goto fail;
	fd = open_in(dirfd, folder, "inputs.safetensors");
	if (fd >= 0) {
		if (st_open_fd(&d->tensors, fd, "inputs.safetensors", err))
			goto fail;
	} else if (errno == ENOENT) {
		fd = open_in(dirfd, folder, "inputs.pt");
		if (fd >= 0 && torchpt_open_fd(&d->tensors, fd, "inputs.pt",
					       err))
			goto fail;
	}
	if (fd < 0) {
		strbuf_addf(err, "inputs.safetensors: %s", strerror(errno));
		goto fail;
	}
	d->has_tensors = true;
	read_signature(d, jv_get_str(d->meta, "function_signature"));
	return 0;
fail:
	dump_close(d);
	return -1;
}

int64_t *dump_ints(struct dump *d, const struct st_tensor *t, size_t *n,
		   struct strbuf *err)
{
	int64_t *v, *copy;
	size_t i;

	for (i = 0; i < d->nints; i++)
		if (d->ints[i].offset == t->offset)
			break;
	if (i == d->nints) {
		v = st_ints(&d->tensors, t, n, err);
		if (!v || i == ARRAY_SIZE(d->ints))
			return v;
		d->ints[i].offset = t->offset;
		d->ints[i].v = v;
		d->ints[i].n = *n;
		d->nints++;
	}
	*n = d->ints[i].n;
	copy = xcalloc(*n, sizeof(*copy));
	memcpy(copy, d->ints[i].v, *n * sizeof(*copy));
	return copy;
}

void dump_close(struct dump *d)
{
	size_t i;

	for (i = 0; i < d->nints; i++)
		free(d->ints[i].v);
	jdoc_release(&d->doc);
	free(d->text);
	free(d->signature);
	free(d->params);
	if (d->has_tensors)
		st_close(&d->tensors);
	*d = (struct dump){ .tensors.fd = -1 };
}

const char *dump_self(const struct dump *d)
{
	const struct jval *id = jv_get(d->meta, "self_id");
	const char *s = jv_get_str(jv_get(jv_get(d->meta, "input_metadata"),
					  "arg_0"), "repr");
	static char number[32];

	if (jv_is(id, J_INT)) {
		snprintf(number, sizeof(number), "%lld", (long long)id->i);
		return number;
	}
	return s ? s : "";
}

static void from_json(const struct jval *j, struct dump_value *v)
{
	const char *type;

	if (jv_is(j, J_NULL)) {
		v->kind = DUMP_NONE;
	} else if (jv_is_bool(j)) {
		v->kind = DUMP_BOOL;
		v->number = jv_is(j, J_TRUE);
	} else if (jv_is_number(j)) {
		v->kind = DUMP_NUMBER;
		v->number = jv_number(j);
		v->whole = jv_is(j, J_INT);
	} else if (jv_is(j, J_STR)) {
		v->kind = DUMP_TEXT;
		v->text = j->s;
	} else if (jv_is(j, J_OBJ)) {
		type = jv_get_str(j, "value");
		v->kind = type ? DUMP_TEXT : DUMP_ABSENT;
		v->text = type;
	}
}

/* A default as the signature has it: None, True, 1e-06, 'NHD'. */
static void from_default(const char *s, struct dump_value *v)
{
	char *end;

	if (!strcmp(s, "None")) {
		v->kind = DUMP_NONE;
	} else if (!strcmp(s, "True") || !strcmp(s, "False")) {
		v->kind = DUMP_BOOL;
		v->number = *s == 'T';
	} else {
		v->number = strtod(s, &end);
		v->kind = end > s && !*end ? DUMP_NUMBER : DUMP_TEXT;
		v->whole = v->kind == DUMP_NUMBER && !strpbrk(s, ".eE");
		v->text = v->kind == DUMP_TEXT ? s : NULL;
	}
}

/* What is recorded as key, which a member's number is added to. */
static int by_key(const struct dump *d, struct strbuf *key, int item,
		  struct dump_value *v, struct strbuf *err)
{
	const struct jval *there;

	if (item >= 0)
		strbuf_addf(key, "__%d", item);
	if (jv_get(d->tensors.header, key->buf)) {
		v->kind = DUMP_TENSOR;
		return st_find(&d->tensors, key->buf, &v->t, err);
	}
	there = item < 0 ? jv_get(jv_get(d->meta, "input_metadata"), key->buf)
			 : NULL;
	if (there)
		from_json(there, v);
	return 0;
}

int dump_arg(const struct dump *d, const char *name, int item,
	     struct dump_value *v, struct strbuf *err)
{
	struct strbuf key = STRBUF_INIT;
	bool positional = true;
	size_t i;
	int ret;

	*v = (struct dump_value){ .kind = DUMP_ABSENT };
	strbuf_addstr(&key, "kwarg_");
	strbuf_addstr(&key, name);
	ret = by_key(d, &key, item, v, err);
	for (i = 0; i < d->nparams && !ret && v->kind == DUMP_ABSENT; i++) {
		const struct dump_param *p = &d->params[i];

		positional &= p->name != NULL;
		if (!p->name || strcmp(p->name, name))
			continue;
		if (positional) {
			strbuf_reset(&key);
			strbuf_addf(&key, "arg_%zu", i);
			ret = by_key(d, &key, item, v, err);
		}
		if (ret || v->kind != DUMP_ABSENT || !p->value || item >= 0)
			continue;
		if (p->is_text)
			*v = (struct dump_value){ .kind = DUMP_TEXT,
						  .text = p->value };
		else
			from_default(p->value, v);
	}
	strbuf_release(&key);
	return ret;
}
