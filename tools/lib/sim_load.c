#include "sim_load.h"
#include "dump.h"
#include "load.h"
#include "outfile.h"

#include <fcntl.h>

static struct sim_request *more(struct sim_requests *r)
{
	if (!(r->n & (r->n - 1)))
		r->v = xrealloc(r->v, (r->n ? 2 * r->n : 1) * sizeof(*r->v));
	r->v[r->n] = (struct sim_request){ .arrival = 0 };
	return &r->v[r->n++];
}

void sim_load_release(struct sim_requests *r)
{
	free(r->v);
	*r = (struct sim_requests){ .v = NULL };
}

static int whole(const json_t *o, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(o, key));

	return n > 0 && n < 1 << 24 ? (int)n : 0;
}

static int by_arrival(const void *a, const void *b)
{
	const struct sim_request *x = a, *y = b;

	return x->arrival < y->arrival ? -1 : x->arrival > y->arrival;
}

static int load_schedule(struct sim_requests *r, const json_t *j,
			 const char *path, struct strbuf *err)
{
	json_t *list = json_need_array(j, "requests", path, err), *o;
	size_t i;

	if (!list)
		return -1;
	r->wall_s = json_number_value(json_object_get(j, "pass_wall_s"));
	json_array_foreach(list, i, o) {
		struct sim_request *q = more(r);

		q->arrival = json_number_value(json_object_get(o,
							"arrival_s"));
		q->prompt = whole(o, "prompt_len");
		q->output = whole(o, "output_len");
		q->prefix = whole(o, "shared_prefix");
		q->top_k = whole(json_object_get(o, "sampling"), "top_k");
		if (!q->prompt || !q->output) {
			strbuf_addf(err, "%s: request %zu has no prompt_len or"
				    " no output_len", path, i);
			return -1;
		}
	}
	qsort(r->v, r->n, sizeof(*r->v), by_arrival);
	return 0;
}

int sim_load_file(struct sim_requests *r, const char *path, int batch,
		  struct strbuf *err)
{
	struct strbuf text = STRBUF_INIT_MAX(64 << 20);
	int (*v)[2] = NULL, ret = strbuf_read_file(&text, path, err);
	size_t n = 0, i;
	json_t *j;

	*r = (struct sim_requests){ .v = NULL };
	if (!ret && text.buf[strspn(text.buf, " \t\r\n")] == '{') {
		j = json_parse(text.buf, text.len, path, err);
		ret = j ? load_schedule(r, j, path, err) : -1;
		json_decref(j);
	} else if (!ret) {
		ret = load_lengths(path, &v, &n, err);
		for (i = 0; i < n && !ret; i++) {
			struct sim_request *q = more(r);

			q->prompt = v[i][0];
			q->output = v[i][1];
			q->arrival = (double)(i / (size_t)batch);
		}
		free(v);
	}
	strbuf_release(&text);
	return ret;
}

/* Numbers that look random and are the same on every run. */
static uint32_t next_number(uint64_t *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*x >> 33);
}

void sim_load_make(struct sim_requests *r, const int *batches, int nbatches,
		   const int *inputs, int ninputs, int output)
{
	static const int ks[] = { 0, 50, 40, 20 };
	uint64_t x = 1;
	double at = 0;
	int i, b, k;

	*r = (struct sim_requests){ .v = NULL };
	for (i = 0; i < ninputs; i++)
		for (b = 0; b < nbatches; b++) {
			/* each load begins when the last has long ended */
			for (k = 0; k < 2 * batches[b]; k++) {
				struct sim_request *q = more(r);
				int longest = inputs[i];

				q->arrival = at + k * 0.01;
				q->prompt = 1 + longest / 8 + (int)(
					next_number(&x) % (uint32_t)(longest -
					longest / 8));
				q->output = 1 + (int)(next_number(&x) %
						      (uint32_t)output);
				if (k % 2) {
					q->group = k % 8 / 2;
					q->prefix = q->prompt / 2 < longest /
						4 ? q->prompt / 2 : longest / 4;
				}
				q->top_k = ks[next_number(&x) % 4];
			}
			at += 100000;
		}
}

/* ---- what a run was like ---- */

static void add(double **v, size_t *n, double x)
{
	if (!(*n & (*n - 1)))
		*v = xrealloc(*v, (*n ? 2 * *n : 1) * sizeof(**v));
	(*v)[(*n)++] = x;
}

static int64_t *ints_of(struct dump *d, const char *name, size_t *n)
{
	struct strbuf no = STRBUF_INIT;
	struct dump_value v;
	int64_t *p = NULL;

	if (!dump_arg(d, name, -1, &v, &no) && v.kind == DUMP_TENSOR)
		p = dump_ints(d, &v.t, n, &no);
	strbuf_release(&no);
	return p;
}

/* A decode plan: indptr in pages, tokens of the last one. */
static void read_plan(struct sim_shape *s, struct dump *d)
{
	struct strbuf no = STRBUF_INIT;
	struct dump_value ps;
	size_t n = 0, m = 0, i;
	int64_t *ptr = ints_of(d, "indptr", &n);
	int64_t *last = ints_of(d, "last_page_len", &m);

	if (ptr && last && n == m + 1 &&
	    !dump_arg(d, "page_size", -1, &ps, &no) &&
	    ps.kind == DUMP_NUMBER) {
		size_t keep = s->nkv;

		add(&s->batch, &s->nbatch, (double)m);
		for (i = 0; i < m; i++) {
			double pages = (double)(ptr[i + 1] - ptr[i]);

			add(&s->kv, &s->nkv, (pages - 1) * ps.number +
			    (double)last[i]);
			add(&s->pages, &keep, pages);
		}
	}
	free(ptr);
	free(last);
	strbuf_release(&no);
}

int sim_shape_read(struct sim_shape *s, const char *dumps, struct strbuf *err)
{
	int fd = open(dumps, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n, i;
	struct strbuf no = STRBUF_INIT;
	struct dirent **v = NULL;
	struct dump_name name;
	struct dump d;

	*s = (struct sim_shape){ .batch = NULL };
	n = fd < 0 ? -1 : scandir(dumps, &v, dir_visible, dir_by_name);
	if (n < 0) {
		strbuf_addf(err, "unable to read folder %s: %s", dumps,
			    strerror(errno));
		return -1;
	}
	for (i = 0; i < n; i++) {
		if (dump_name_parse(&name, v[i]->d_name) &&
		    !strcmp(name.function,
			    "BatchDecodeWithPagedKVCacheWrapper.plan") &&
		    !dump_open(&d, fd, v[i]->d_name, &no)) {
			read_plan(s, &d);
			dump_close(&d);
		}
		strbuf_reset(&no);
		free(v[i]);
	}
	free(v);
	close(fd);
	strbuf_release(&no);
	if (s->nbatch)
		return 0;
	strbuf_addf(err, "%s has no decode step", dumps);
	return -1;
}

void sim_shape_release(struct sim_shape *s)
{
	free(s->batch);
	free(s->kv);
	free(s->pages);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double sim_distance(double *a, size_t na, double *b, size_t nb)
{
	double most = 0, x, d;
	size_t i = 0, k = 0;

	if (!na || !nb)
		return 1;
	qsort(a, na, sizeof(*a), by_value);
	qsort(b, nb, sizeof(*b), by_value);
	while (i < na && k < nb) {
		x = a[i] < b[k] ? a[i] : b[k];
		while (i < na && a[i] <= x)
			i++;
		while (k < nb && b[k] <= x)
			k++;
		d = (double)i / (double)na - (double)k / (double)nb;
		d = d < 0 ? -d : d;
		most = d > most ? d : most;
	}
	return most;
}
