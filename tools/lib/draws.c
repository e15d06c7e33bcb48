/* Sampling by distribution: the part of tensorset.h that draws. */
#include "tensorset.h"

#include <math.h>

enum { MAX_ROWS = 1024 };

static int broken(const struct tensor_draws *d, const char *what,
		  struct strbuf *err)
{
	strbuf_addf(err, "%s: %s", what, d->dev->error());
	return -1;
}

/*
 * The reference's file has requests, expected (float32 rows) and mask (uint8:
 * which tokens may come out).
 */
static int read_expected(struct tensor_draws *d, struct strbuf *err)
{
	const char *path = json_string_value(json_array_get(json_object_get(
				d->job, "expect"), 0));
	struct st_tensor which, expected, mask;
	struct safetensors st;
	size_t n;
	int ret = -1;

	if (!path || st_open(&st, path, err))
		return -1;
	if (!st_find(&st, "requests", &which, err) &&
	    !st_find(&st, "expected", &expected, err) &&
	    !st_find(&st, "mask", &mask, err)) {
		d->which = st_ints(&st, &which, &n, err);
		d->expected = xmalloc(expected.size + 1);
		d->mask = xmalloc(mask.size + 1);
		d->requests = (int64_t)n;
		d->vocab = expected.ndim == 2 ? expected.shape[1] : 0;
		if (!d->which || expected.size / sizeof(float) != mask.size ||
		    mask.size != (uint64_t)(d->requests * d->vocab) || !mask.size)
			strbuf_addf(err, "%s: its tensors do not fit together", path);
		else if (!st_bytes(&st, &expected, d->expected, err) &&
			 !st_bytes(&st, &mask, d->mask, err))
			ret = 0;
	}
	st_close(&st);
	return ret;
}

/*
 * n draws of K tokens are off by sqrt(2K / (pi n)) / 2 in total variation on
 * average, at most: 64 K draws keep that at 0.05.
 */
static int64_t draws_needed(const struct tensor_draws *d)
{
	int64_t most = 0, i, row, k, n;

	for (row = 0; row < d->requests; row++) {
		for (k = 0, i = 0; i < d->vocab; i++)
			k += d->mask[row * d->vocab + i] != 0;
		most = k > most ? k : most;
	}
	n = most * 64;
	return n < 20000 ? 20000 : n > 500000 ? 500000 : n;
}

static size_t element(const struct tensor_draws *d, size_t i)
{
	return d->dev->size(d->dtype[i], 1);
}

/* Row r of a repeated input is that of request which[r % requests]. */
static int repeat_input(struct tensor_draws *d, size_t i, struct strbuf *err)
{
	const struct ob_arg *a = &d->arg[i];
	size_t row = element(d, i), total;
	char *all, *rows;
	int32_t k;
	int64_t r;
	int ret = 0;

	for (k = 1; k < a->ndim; k++)
		row *= (size_t)a->shape[k];
	total = row * (size_t)a->shape[0];
	all = xmalloc(total + 1);
	rows = xmalloc(st_mult(row, (size_t)d->rows) + 1);
	if (d->dev->download(all, d->alloc[i], total))
		ret = -1;
	for (r = 0; r < d->rows && !ret; r++)
		memcpy(rows + (size_t)r * row, all + (size_t)d->which[
				r % d->requests] * row, row);
	if (ret || d->dev->alloc(&d->repeated[i], row * (size_t)d->rows) ||
	    d->dev->upload(d->repeated[i], rows, row * (size_t)d->rows) ||
	    d->dev->sync())
		ret = broken(d, "rows to draw from", err);
	free(all);
	free(rows);
	return ret;
}

int tensor_draws_prepare(struct tensor_draws *d, struct strbuf *err)
{
	int64_t batch;
	size_t i;

	if (read_expected(d, err))
		return -1;
	memcpy(d->kept, d->arg, sizeof d->kept);
	d->rows = MAX_ROWS / d->requests * d->requests;
	d->rounds = (draws_needed(d) * d->requests + d->rows - 1) / d->rows;
	batch = d->arg[d->nin].shape[0];	/* of the samples */
	for (i = 0; i <= d->nin; i++) {
		if (!d->alloc[i] || !d->arg[i].ndim || d->arg[i].shape[0] != batch)
			continue;
		if (i < d->nin ? repeat_input(d, i, err) :
		    d->dev->alloc(&d->repeated[i], element(d, i) * (size_t)d->rows))
			return -1;
	}
	for (i = 0; i <= d->nin; i++)
		if (d->repeated[i]) {
			d->arg[i].data = d->repeated[i];
			d->arg[i].shape[0] = d->rows;
		}
	return 0;
}

static void judge(struct tensor_draws *d, const uint32_t *counts)
{
	double total = (double)(d->rounds * (d->rows / d->requests)), off;
	int64_t row, i;

	for (row = 0; row < d->requests; row++) {
		for (off = 0, i = 0; i < d->vocab; i++) {
			size_t at = (size_t)(row * d->vocab + i);

			off += fabs(counts[at] / total - (double)d->expected[at]);
			d->forbidden += counts[at] && !d->mask[at];
		}
		d->tvd = fmax(d->tvd, off / 2);
	}
}

int tensor_draws_run(struct tensor_draws *d, struct strbuf *err)
{
	size_t size = (size_t)(d->requests * d->vocab) * sizeof(uint32_t);
	uint32_t *host = xcalloc(size / sizeof *host + 1, sizeof *host);
	void *counts = NULL, *outside = NULL;
	int64_t i;
	int ret = 0;

	if (d->dev->alloc(&counts, size) || d->dev->alloc(&outside, 8) ||
	    d->dev->set(counts, 0, size) || d->dev->set(outside, 0, 8))
		ret = broken(d, "memory to count in", err);
	for (i = 0; i < d->rounds && !ret; i++) {
		ret = d->call(d->data);
		if (!ret)
			ret = d->dev->count(d->repeated[d->nin], d->dtype[d->nin],
					    d->rows, d->requests, d->vocab,
					    counts, outside);
		if (!ret && i % 64 == 63)
			ret = d->dev->sync();
		if (ret)
			broken(d, "drawing", err);
	}
	if (!ret && (d->dev->download(host, counts, size) ||
		     d->dev->download(&d->outside, outside, 8)))
		ret = broken(d, "the counts", err);
	if (!ret)
		judge(d, host);
	d->dev->sync();
	if (counts)
		d->dev->free(counts);
	if (outside)
		d->dev->free(outside);
	free(host);
	return ret ? -1 : 0;
}

void tensor_draws_add(const struct tensor_draws *d, json_t *answer)
{
	char text[160];

	json_object_set_new(answer, "max_abs", json_real(d->tvd));
	json_object_set_new(answer, "max_rel", json_real(d->tvd));
	json_object_set_new(answer, "tvd", json_real(d->tvd));
	json_object_set_new(answer, "forbidden", json_integer(d->forbidden + d->outside));
	json_object_set_new(answer, "draws", json_integer(d->rounds *
						(d->rows / d->requests)));
	if (d->forbidden || d->outside || d->tvd > 0.2) {
		snprintf(text, sizeof text, "%lld tokens that the thresholds exclude, %lld draws out"
			 " of the vocabulary, total variation distance %.4f",
			 (long long)d->forbidden, (long long)d->outside, d->tvd);
		json_object_set_new(answer, "log", json_string(text));
	}
}

void tensor_draws_release(struct tensor_draws *d)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(d->repeated); i++)
		if (d->repeated[i])
			d->dev->free(d->repeated[i]);
	if (d->vocab)
		memcpy(d->arg, d->kept, sizeof d->kept);
	free(d->which);
	free(d->expected);
	free(d->mask);
}
