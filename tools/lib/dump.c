#include "dump.h"
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

/* Splits "(self, a: int = 1, *args)" at its top-level commas. */
static json_t *signature(const char *s)
{
	json_t *params = json_array(), *p;
	const char *from, *stop;
	int depth = 0;
	char quote = 0;

	if (*s != '(')
		return params;
	for (from = ++s; *s; s++) {
		if (quote) {
			quote = *s == quote ? 0 : quote;
			continue;
		}
		if (*s == '\'' || *s == '"')
			quote = *s;
		else if (strchr("([{", *s))
			depth++;
		else if (depth && strchr(")]}", *s))
			depth--;
		else if (!depth && (*s == ',' || *s == ')')) {
			const char *eq = NULL, *t;
			int d = 0;

			while (*from == ' ')
				from++;
			for (stop = from; stop < s && *stop != ':' &&
			     *stop != '=' && *stop != ' '; stop++)
				;
			for (t = stop; t < s && !eq; t++) {
				d += strchr("([{", *t) ? 1 : 0;
				d -= strchr(")]}", *t) ? 1 : 0;
				if (!d && *t == '=')
					eq = t + 1;
			}
			if (stop > from && *from != '*' && *from != '/') {
				p = json_pack("{s:s%}", "name", from,
					      (size_t)(stop - from));
				while (eq && *eq == ' ')
					eq++;
				/* a text without its quotes */
				if (eq && *eq == '\'' && s - eq > 1)
					json_object_set_new(p, "text",
						json_stringn(eq + 1, (size_t)
							     (s - eq - 2)));
				else if (eq)
					json_object_set_new(p, "default",
						json_stringn(eq, (size_t)
							     (s - eq)));
				json_array_append_new(params, p);
			} else if (stop > from || *from == '*') {
				/* what follows is by keyword only */
				json_array_append_new(params, json_pack(
					"{s:s}", "name", "*"));
			}
			if (*s == ')')
				break;
			from = s + 1;
		}
	}
	return params;
}

/* The last whole line with something in it. */
static json_t *last_line(const struct strbuf *sb, struct strbuf *err)
{
	size_t end = sb->len, from;
	json_t *j;

	while (end && isspace((unsigned char)sb->buf[end - 1]))
		end--;
	for (from = end; from && sb->buf[from - 1] != '\n'; from--)
		;
	if (from == end) {
		strbuf_addstr(err, "metadata.jsonl is empty");
		return NULL;
	}
	j = json_parse(sb->buf + from, end - from, "metadata.jsonl", err);
	if (j && json_is_object(j))
		return j;
	if (j)
		strbuf_addstr(err, "the last line of metadata.jsonl is no"
			      " object");
	json_decref(j);
	return NULL;
}

static int open_in(int dirfd, const char *folder, const char *file)
{
	struct strbuf path = STRBUF_INIT;
	int fd;

	strbuf_addf(&path, "%s/%s", folder, file);
	fd = openat(dirfd, path.buf, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
		    O_NONBLOCK);
	strbuf_release(&path);
	return fd;
}

static int read_meta(struct dump *d, int dirfd, const char *folder,
		     struct strbuf *err)
{
	struct strbuf sb = STRBUF_INIT_MAX(MAX_META);
	int fd = open_in(dirfd, folder, "metadata.jsonl");
	const char *status;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		strbuf_addf(err, "metadata.jsonl: %s", fd < 0 ?
			    strerror(errno) : "no regular file");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (strbuf_read_fd(&sb, fd, "metadata.jsonl", err)) {
		close(fd);
		strbuf_release(&sb);
		return -1;
	}
	close(fd);
	d->meta = last_line(&sb, err);
	strbuf_release(&sb);
	if (!d->meta)
		return -1;
	status = json_get_str(d->meta, "execution_status");
	if (!status || strcmp(status, "completed")) {
		strbuf_addf(err, "the call did not complete (%s)", status ?
			    status : "no status");
		return -1;
	}
	return 0;
}

int dump_open(struct dump *d, int dirfd, const char *folder,
	      struct strbuf *err)
{
	const char *sig;
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
	sig = json_get_str(d->meta, "function_signature");
	d->params = signature(sig ? sig : "");
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
	json_decref(d->meta);
	json_decref(d->params);
	if (d->has_tensors)
		st_close(&d->tensors);
	*d = (struct dump){ .tensors.fd = -1 };
}

const char *dump_self(const struct dump *d)
{
	const json_t *id = json_object_get(d->meta, "self_id");
	const char *s = json_get_str(json_object_get(json_object_get(d->meta,
				     "input_metadata"), "arg_0"), "repr");
	static char number[32];

	if (json_is_integer(id)) {
		snprintf(number, sizeof(number), "%lld",
			 (long long)json_integer_value(id));
		return number;
	}
	return s ? s : "";
}

static void from_json(const json_t *j, struct dump_value *v)
{
	const char *type;

	if (json_is_null(j)) {
		v->kind = DUMP_NONE;
	} else if (json_is_boolean(j)) {
		v->kind = DUMP_BOOL;
		v->number = json_is_true(j);
	} else if (json_is_number(j)) {
		v->kind = DUMP_NUMBER;
		v->number = json_number_value(j);
		v->whole = json_is_integer(j);
	} else if (json_is_string(j)) {
		v->kind = DUMP_TEXT;
		v->text = json_string_value(j);
	} else if (json_is_object(j)) {
		type = json_get_str(j, "value");
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

static int by_key(const struct dump *d, const char *key, int item,
		  struct dump_value *v, struct strbuf *err)
{
	const json_t *meta = json_object_get(d->meta, "input_metadata");
	struct strbuf name = STRBUF_INIT;
	int ret = 0;

	strbuf_addstr(&name, key);
	if (item >= 0)
		strbuf_addf(&name, "__%d", item);
	if (json_object_get(d->tensors.header, name.buf)) {
		v->kind = DUMP_TENSOR;
		ret = st_find(&d->tensors, name.buf, &v->t, err);
	} else if (item < 0 && json_object_get(meta, key)) {
		from_json(json_object_get(meta, key), v);
	}
	strbuf_release(&name);
	return ret;
}

int dump_arg(const struct dump *d, const char *name, int item,
	     struct dump_value *v, struct strbuf *err)
{
	struct strbuf key = STRBUF_INIT;
	bool positional = true;
	json_t *p;
	size_t i;
	int ret;

	*v = (struct dump_value){ .kind = DUMP_ABSENT };
	strbuf_addf(&key, "kwarg_%s", name);
	ret = by_key(d, key.buf, item, v, err);
	json_array_foreach(d->params, i, p) {
		const char *own = json_get_str(p, "name");
		const char *dflt = json_get_str(p, "default");

		if (ret || v->kind != DUMP_ABSENT)
			break;
		if (!own || !strcmp(own, "*")) {
			positional = false;
			continue;
		}
		if (strcmp(own, name))
			continue;
		if (positional) {
			strbuf_reset(&key);
			strbuf_addf(&key, "arg_%zu", i);
			ret = by_key(d, key.buf, item, v, err);
		}
		if (!ret && v->kind == DUMP_ABSENT && dflt && item < 0)
			from_default(dflt, v);
		else if (!ret && v->kind == DUMP_ABSENT && item < 0)
			from_json(json_object_get(p, "text"), v);
	}
	strbuf_release(&key);
	return ret;
}
