#include "flavours.h"

#define MAX_FLAVOURS 512
#define MAX_STEPS 200000

struct flavour {
	json_int_t tp, ep, ps;
	const char *prefill;
};

struct search {
	const json_t *kernels;
	struct flavour f[MAX_FLAVOURS];
	size_t nf, n;			/* flavours, kernels */
	bool *serves;			/* kernel * nf + flavour */
	size_t *served;			/* by how many chosen, per kernel */
	size_t chosen[MAX_FLAVOURS], nchosen;
	size_t best[MAX_FLAVOURS], nbest;
	size_t steps;
};

static bool in_list(const json_t *list, json_int_t v)
{
	json_t *x;
	size_t i;

	if (!json_array_size(list))
		return true;
	json_array_foreach((json_t *)list, i, x)
		if (json_integer_value(x) == v)
			return true;
	return false;
}

static bool serves(const json_t *k, const struct flavour *f)
{
	const json_t *ps = json_object_get(k, "page_size");
	const char *prefill = json_get_str(k, "prefill");

	return in_list(json_object_get(k, "tp"), f->tp) &&
		in_list(json_object_get(k, "ep"), f->ep) &&
		(!ps || json_integer_value(ps) == f->ps) &&
		(!prefill || !strcmp(prefill, f->prefill));
}

static json_t *values_of(const json_t *kernels, const char *key)
{
	json_t *all = json_array(), *k, *v;
	size_t i;

	json_array_foreach((json_t *)kernels, i, k) {
		v = json_object_get(k, key);
		if (json_is_integer(v)) {
			json_t *one = json_pack("[O]", v);

			json_merge_numbers(all, one);
			json_decref(one);
		} else {
			json_merge_numbers(all, v);
		}
	}
	if (!json_array_size(all))
		json_array_append_new(all, json_integer(1));
	return all;
}

/* Every combination that some definition asks for; EP is at most TP. */
static void enumerate(struct search *s)
{
	static const char *const prefills[] = { "ragged", "paged" };
	json_t *tps = values_of(s->kernels, "tp"), *tp, *ep, *ps;
	json_t *eps = values_of(s->kernels, "ep");
	json_t *pss = values_of(s->kernels, "page_size");
	size_t a, b, c, d;

	json_array_foreach(tps, a, tp)
		json_array_foreach(eps, b, ep)
			json_array_foreach(pss, c, ps)
				for (d = 0; d < 2; d++) {
					struct flavour f = {
						json_integer_value(tp),
						json_integer_value(ep),
						json_integer_value(ps),
						prefills[d] };

					/* experts are split over the ranks */
					if (f.tp % f.ep)
						f.tp = f.ep;
					if (s->nf < MAX_FLAVOURS)
						s->f[s->nf++] = f;
				}
	json_decref(tps);
	json_decref(eps);
	json_decref(pss);
}

/* Chooses for the definition that the fewest flavours serve, and goes on. */
static void choose(struct search *s)
{
	size_t k, f, fewest = (size_t)-1, hardest = s->n;

	if (s->nchosen >= s->nbest || s->steps++ > MAX_STEPS)
		return;
	for (k = 0; k < s->n; k++) {
		size_t count = 0;

		if (s->served[k])
			continue;
		for (f = 0; f < s->nf; f++)
			count += s->serves[k * s->nf + f];
		if (count < fewest) {
			fewest = count;
			hardest = k;
		}
	}
	if (hardest == s->n) {
		memcpy(s->best, s->chosen, s->nchosen * sizeof(*s->best));
		s->nbest = s->nchosen;
		return;
	}
	for (f = 0; f < s->nf; f++) {
		if (!s->serves[hardest * s->nf + f])
			continue;
		s->chosen[s->nchosen++] = f;
		for (k = 0; k < s->n; k++)
			s->served[k] += s->serves[k * s->nf + f];
		choose(s);
		for (k = 0; k < s->n; k++)
			s->served[k] -= s->serves[k * s->nf + f];
		s->nchosen--;
	}
}

static json_t *arguments(const struct flavour *f)
{
	json_t *a = json_pack("[s, s]", "--attention-backend", "flashinfer");
	const struct {
		const char *flag;
		json_int_t value;
	} sizes[] = { { "--tp-size", f->tp }, { "--ep-size", f->ep },
		      { "--page-size", f->ps } };
	char text[32];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		snprintf(text, sizeof(text), "%lld",
			 (long long)sizes[i].value);
		json_array_append_new(a, json_string(sizes[i].flag));
		json_array_append_new(a, json_string(text));
	}
	/* graph capture forces paged prefill and hides the calls */
	json_array_append_new(a, json_string("--disable-cuda-graph"));
	json_array_append_new(a, json_string(!strcmp(f->prefill, "paged") ?
		"--enable-deterministic-inference" :
		"--disable-piecewise-cuda-graph"));
	return a;
}

static json_t *describe(struct search *s, const struct flavour *f,
			const bool *mine)
{
	json_t *defs = json_array(), *calls = json_array(), *k, *v;
	struct strbuf name = STRBUF_INIT, include = STRBUF_INIT;
	json_t *sorted, *o;
	size_t i, c;

	json_array_foreach((json_t *)s->kernels, i, k)
		if (mine[i]) {
			json_array_append(defs, json_object_get(k,
						"definition_name"));
			json_array_foreach(json_object_get(k, "calls"), c, v)
				json_array_add(calls, json_string_value(v));
		}
	sorted = json_sorted_set(calls);
	json_array_foreach(sorted, c, v)
		strbuf_addf(&include, "%s%s", c ? "," : "",
			    json_string_value(v));
	strbuf_addf(&name, "tp%lld_ep%lld_ps%lld_%s", (long long)f->tp,
		    (long long)f->ep, (long long)f->ps, f->prefill);
	o = json_pack("{s:s, s:I, s:I, s:I, s:s, s:o, s:o, s:{s:s, s:s, s:s,"
		      " s:s, s:s}}", "name", name.buf, "tp", f->tp, "ep",
		      f->ep, "page_size", f->ps, "prefill", f->prefill,
		      "definitions", defs, "args", arguments(f), "env",
		      "FLASHINFER_LOGLEVEL", "10",
		      "FLASHINFER_DUMP_SAFETENSORS", "1",
		      "FLASHINFER_DUMP_INCLUDE", include.buf,
		      "FLASHINFER_DUMP_EXCLUDE", "*.__init__",
		      "FLASHINFER_TRACE_DUMP", "1");
	json_decref(calls);
	json_decref(sorted);
	strbuf_release(&name);
	strbuf_release(&include);
	return o;
}

/*
 * What any of several flavours serves goes to one without deterministic
 * inference: with it SGLang takes its own norms and sampling.
 */
static int plain_first(const void *a, const void *b, void *data)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	const struct flavour *f = data;
	int px = !strcmp(f[x].prefill, "paged");
	int py = !strcmp(f[y].prefill, "paged");

	return px != py ? px - py : (x > y) - (x < y);
}

json_t *flavours_plan(const json_t *kernels)
{
	struct search s = { .kernels = kernels,
			    .n = json_array_size(kernels) };
	json_t *plan = json_array(), *k;
	size_t i, f;
	bool *mine, *done;

	if (!s.n)
		return plan;
	enumerate(&s);
	s.serves = xcalloc(s.n * s.nf, sizeof(*s.serves));
	s.served = xcalloc(s.n, sizeof(*s.served));
	json_array_foreach((json_t *)kernels, i, k)
		for (f = 0; f < s.nf; f++)
			s.serves[i * s.nf + f] = serves(k, &s.f[f]);
	for (i = 0; i < s.n; i++) {
		bool any = false;

		for (f = 0; f < s.nf; f++)
			any |= s.serves[i * s.nf + f];
		s.served[i] = !any;	/* none can: left out */
	}
	s.nbest = s.nf + 1;
	choose(&s);
	qsort_r(s.best, s.nbest <= s.nf ? s.nbest : 0, sizeof(*s.best),
		plain_first, s.f);
	mine = xcalloc(s.n, sizeof(*mine));
	done = xcalloc(s.n, sizeof(*done));
	for (f = 0; s.nbest <= s.nf && f < s.nbest; f++) {
		for (i = 0; i < s.n; i++) {
			mine[i] = !done[i] &&
				s.serves[i * s.nf + s.best[f]];
			done[i] |= mine[i];
		}
		json_array_append_new(plan, describe(&s, &s.f[s.best[f]],
						     mine));
	}
	free(mine);
	free(done);
	free(s.serves);
	free(s.served);
	return plan;
}
