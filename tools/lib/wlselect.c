#include "wlselect.h"
#include "outfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>

#define MAX_HELD ((size_t)16 << 20)

static size_t size_of(const struct workload *w)
{
	size_t n = sizeof(*w), i;

	for (i = 0; i < w->n; i++)
		n += w->input[i].in.n * sizeof(*w->input[i].in.values);
	return n;
}

/* What is chosen in the end need not be read again, as far as memory goes. */
static void hold(struct wl_candidates *c, struct wl_candidate *v,
		 struct workload *w)
{
	size_t n = size_of(w);

	if (c->held + n > MAX_HELD) {
		workload_release(w);
		return;
	}
	c->held += n;
	v->held = xcalloc(1, sizeof(*v->held));
	*v->held = *w;
}

static void drop(struct wl_candidates *c, struct wl_candidate *v)
{
	json_decref(v->axes);
	free(v->root);
	free(v->folder);
	free(v->plan);
	if (v->held) {
		c->held -= size_of(v->held);
		workload_release(v->held);
		free(v->held);
	}
}

void wl_add(struct wl_candidates *c, struct workload *w,
	    const char *root, const char *folder, const char *plan)
{
	char *key = json_dumps(w->axes, JSON_COMPACT);
	json_t *same;
	size_t i, at = c->n;

	if (!c->by_axes)
		c->by_axes = json_object();
	same = json_object_get(c->by_axes, key);
	if (!same) {
		same = json_array();
		json_object_set_new(c->by_axes, key, same);
	}
	free(key);
	if (json_array_has(same, w->uuid)) {
		workload_release(w);
		return;
	}
	if (json_array_size(same) == 2) {
		/* the two smallest stay, whatever order they came in */
		const char *a = json_string_value(json_array_get(same, 0));
		const char *b = json_string_value(json_array_get(same, 1));
		size_t out = strcmp(a, b) > 0 ? 0 : 1;
		const char *largest = out ? b : a;

		if (strcmp(w->uuid, largest) > 0) {
			workload_release(w);
			return;
		}
		for (i = 0; i < c->n; i++)
			if (!strcmp(c->v[i].uuid, largest))
				at = i;
		json_array_set_new(same, out, json_string(w->uuid));
	} else {
		json_array_append_new(same, json_string(w->uuid));
	}
	if (at == c->n) {
		if (c->n == c->alloc) {
			c->alloc = c->alloc * 2 + 64;
			c->v = xrealloc(c->v, c->alloc * sizeof(*c->v));
		}
		c->n++;
	} else {
		drop(c, &c->v[at]);
	}
	c->v[at] = (struct wl_candidate){ .axes = json_incref(w->axes),
		.root = xstrdup(root), .folder = xstrdup(folder),
		.plan = plan ? xstrdup(plan) : NULL };
	memcpy(c->v[at].uuid, w->uuid, UUID_LEN);
	hold(c, &c->v[at], w);
}

static int by_uuid(const void *a, const void *b)
{
	const struct wl_candidate *x = a, *y = b;

	return strcmp(x->uuid, y->uuid);
}

static double axis(const struct wl_candidate *c, const char *name)
{
	return (double)json_integer_value(json_object_get(c->axes, name));
}

static double distance(const struct wl_candidate *a,
		       const struct wl_candidate *b)
{
	const char *name;
	double sum = 0;
	json_t *v;

	json_object_foreach(a->axes, name, v) {
		double x = axis(a, name), y = axis(b, name);

		sum += fabs(x - y) / fmax(fmax(fabs(x), fabs(y)), 1);
	}
	return sum;
}

size_t wl_choose(struct wl_candidates *c, size_t max)
{
	double *far, d;
	const char *name;
	size_t n = 0, i, best;
	json_t *v;

	if (!c->n)
		return 0;
	qsort(c->v, c->n, sizeof(*c->v), by_uuid);
	for (i = 0; i < c->n; i++)
		c->v[i].chosen = c->n <= max;
	if (c->n <= max)
		return c->n;
	json_object_foreach(c->v[0].axes, name, v) {
		int end;

		for (end = 0; end < 2 && n < max; end++) {
			for (best = 0, i = 1; i < c->n; i++) {
				d = axis(&c->v[i], name) -
					axis(&c->v[best], name);
				if (end ? d > 0 : d < 0)
					best = i;
			}
			n += !c->v[best].chosen;
			c->v[best].chosen = true;
		}
	}
	far = xcalloc(c->n, sizeof(*far));
	for (i = 0; i < c->n; i++) {
		far[i] = INFINITY;
		for (best = 0; best < c->n; best++)
			if (c->v[best].chosen)
				far[i] = fmin(far[i], distance(&c->v[i],
							&c->v[best]));
	}
	for (; n < max; n++) {
		for (best = c->n, i = 0; i < c->n; i++)
			if (!c->v[i].chosen &&
			    (best == c->n || far[i] > far[best]))
				best = i;
		c->v[best].chosen = true;
		for (i = 0; i < c->n; i++)
			far[i] = fmin(far[i], distance(&c->v[i],
						       &c->v[best]));
	}
	free(far);
	return n;
}

json_t *wl_ranges(const struct wl_candidates *c)
{
	json_t *ranges = json_object(), *v, *seen;
	const char *name;
	size_t i;

	if (!c->n)
		return ranges;
	json_object_foreach(c->v[0].axes, name, v) {
		double lo = INFINITY, hi = -INFINITY, x;
		char key[32];

		seen = json_object();
		for (i = 0; i < c->n; i++) {
			x = axis(&c->v[i], name);
			lo = fmin(lo, x);
			hi = fmax(hi, x);
			snprintf(key, sizeof(key), "%.0f", x);
			json_object_set_new(seen, key, json_true());
		}
		json_object_set_new(ranges, name, json_pack("{s:I, s:I, s:I}",
			"min", (json_int_t)lo, "max", (json_int_t)hi,
			"distinct", (json_int_t)json_object_size(seen)));
		json_decref(seen);
	}
	return ranges;
}

/* ---- the file ---- */

/* By size of the axes, then by uuid: the order of the lines. */
static int by_axes(const void *a, const void *b)
{
	const struct wl_candidate *x = a, *y = b;
	const char *name;
	json_t *v;

	json_object_foreach(x->axes, name, v) {
		double d = axis(x, name) - axis(y, name);

		if (d < 0 || d > 0)
			return d < 0 ? -1 : 1;
	}
	return strcmp(x->uuid, y->uuid);
}

/* The call once more, now with its values. */
static int again(const struct wl_candidate *c, const struct wl_place *p,
		 struct workload *w, struct strbuf *err)
{
	struct dump call, plan;
	int fd = open(c->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = -1;

	if (fd < 0) {
		strbuf_addf(err, "unable to open %s: %s", c->root,
			    strerror(errno));
		return -1;
	}
	if (!dump_open(&call, fd, c->folder, err)) {
		if (!c->plan || !dump_open(&plan, fd, c->plan, err)) {
			ret = dumpmap_try(p->map, &call, c->plan ? &plan :
					  NULL, w, err);
			if (c->plan)
				dump_close(&plan);
		}
		dump_close(&call);
	}
	close(fd);
	if (!ret && strcmp(w->uuid, c->uuid)) {
		strbuf_addf(err, "%s/%s changed while it was read", c->root,
			    c->folder);
		workload_release(w);
		ret = -1;
	}
	return ret;
}

static int write_one(const struct wl_candidate *c, const struct wl_place *p,
		     struct strbuf *lines, struct strbuf *err)
{
	struct strbuf rel = STRBUF_INIT, path = STRBUF_INIT;
	struct strbuf blob = STRBUF_INIT;
	struct workload w;
	json_t *line;
	char *text;
	int ret = 0;

	if (!c->held && again(c, p, &w, err))
		return -1;
	strbuf_addf(&rel, "./blob/workloads/%s/%s/%s_%s.safetensors", p->op,
		    p->name, p->name, c->uuid);
	line = workload_line(c->held ? c->held : &w, p->name, rel.buf, &blob);
	strbuf_addf(&path, "%s/%s", p->root, rel.buf + 2);
	if (blob.len)
		ret = outfile_write(path.buf, blob.buf, blob.len, err);
	text = json_dumps(line, JSON_COMPACT);
	strbuf_addf(lines, "%s\n", text);
	free(text);
	json_decref(line);
	if (!c->held)
		workload_release(&w);
	strbuf_release(&rel);
	strbuf_release(&path);
	strbuf_release(&blob);
	return ret;
}

/* The lines that are there, each with its uuid. */
static json_t *uuids_of(const struct strbuf *file, size_t *lines)
{
	json_t *had = json_object(), *j;
	struct strbuf no = STRBUF_INIT;
	const char *p = file->buf, *uuid;
	size_t n;

	for (*lines = 0; *p; p += n + (p[n] == '\n')) {
		n = strcspn(p, "\n");
		if (strspn(p, " \t\r") >= n)
			continue;
		(*lines)++;
		j = json_parse(p, n, "a line", &no);
		uuid = json_get_str(json_object_get(j, "workload"), "uuid");
		if (uuid)
			json_object_set_new(had, uuid, json_true());
		json_decref(j);
	}
	strbuf_release(&no);
	return had;
}

/* Blobs that the file does not name any more. */
static void drop_blobs(const struct wl_place *p, const struct strbuf *lines)
{
	struct strbuf dir = STRBUF_INIT, path = STRBUF_INIT;
	struct dirent **v = NULL;
	int n, i;

	strbuf_addf(&dir, "%s/blob/workloads/%s/%s", p->root, p->op, p->name);
	n = scandir(dir.buf, &v, dir_visible, dir_by_name);
	for (i = 0; i < n; i++) {
		strbuf_reset(&path);
		strbuf_addf(&path, "/%s\"", v[i]->d_name);
		if (!strstr(lines->buf, path.buf)) {
			strbuf_reset(&path);
			strbuf_addf(&path, "%s/%s", dir.buf, v[i]->d_name);
			unlink(path.buf);
		}
		free(v[i]);
	}
	free(n >= 0 ? v : NULL);
	strbuf_release(&dir);
	strbuf_release(&path);
}

int wl_write(struct wl_candidates *c, const struct wl_place *p,
	     struct wl_result *r, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT, file = STRBUF_INIT_MAX(1u << 30);
	struct strbuf no = STRBUF_INIT, fresh = STRBUF_INIT;
	size_t had_lines, i;
	json_t *had;
	int ret = 0;

	*r = (struct wl_result){ .selected = wl_choose(c, p->max) };
	strbuf_addf(&path, "%s/workloads/%s/%s.jsonl", p->root, p->op,
		    p->name);
	strbuf_read_file(&file, path.buf, &no);
	had = uuids_of(&file, &had_lines);
	r->entries = had_lines;
	if (p->replace && had_lines && r->selected < had_lines) {
		r->kept = r->selected ? "the new one would have fewer entries"
				      : "no call fits";
		goto out;
	}
	if (c->n)
		qsort(c->v, c->n, sizeof(*c->v), by_axes);
	for (i = 0; i < c->n && !ret; i++)
		if (c->v[i].chosen && (p->replace ||
				       !json_object_get(had, c->v[i].uuid))) {
			ret = write_one(&c->v[i], p, &fresh, err);
			r->added++;
		}
	if (ret || !r->added)
		goto out;
	if (p->replace)
		strbuf_reset(&file);
	else if (file.len && file.buf[file.len - 1] != '\n')
		strbuf_addch(&file, '\n');
	r->entries = r->added + (p->replace ? 0 : had_lines);
	strbuf_add(&file, fresh.buf, fresh.len);
	ret = outfile_write(path.buf, file.buf, file.len, err);
	if (!ret && p->replace)
		drop_blobs(p, &file);
out:
	json_decref(had);
	strbuf_release(&path);
	strbuf_release(&file);
	strbuf_release(&no);
	strbuf_release(&fresh);
	return ret;
}
