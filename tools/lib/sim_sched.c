#include "sim_sched.h"

#define FIRST_RATIO 0.7		/* of an answer, expected of a new request */
#define LEAST_RATIO 0.098	/* 0.14 of it, */
#define RATIO_STEPS 600		/* after so many decode steps */
#define CLIP 4096		/* of max_new_tokens, when memory is reckoned */

enum where { NOT_YET, WAITING, RUNNING, ENDED };

struct live {
	enum where where;
	int slot, done, answered, npages, apages;
	int *tokens, *pages;		/* all of prompt and answer */
	struct sim_node *node;		/* locked prefix, or NULL */
};

struct sim {
	struct sim_limits l;
	struct sim_request *r;
	struct live *live;
	size_t n, next;			/* next: to arrive */
	int *queue, nqueue;		/* waiting, in order */
	int *running, nrunning;		/* in the order of admission */
	int chunked;			/* the request cut last, or -1 */
	bool *slots;
	struct sim_cache *cache;
	struct sim_row *row;
	double now, ratio;
	size_t refused;
};

struct sim *sim_new(const struct sim_limits *l, struct sim_request *v,
		    size_t n)
{
	struct sim *s = xcalloc(1, sizeof(*s));

	s->l = *l;
	s->r = v;
	s->n = n;
	s->live = xcalloc(n + 1, sizeof(*s->live));
	s->queue = xcalloc(n + 1, sizeof(int));
	s->running = xcalloc(n + 1, sizeof(int));
	s->slots = xcalloc(n + 2, sizeof(bool));
	s->row = xcalloc(n + 1, sizeof(*s->row));
	s->cache = sim_cache_new(l->slots, l->page_size);
	s->chunked = -1;
	s->ratio = FIRST_RATIO;
	return s;
}

void sim_free(struct sim *s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		free(s->live[i].tokens);
		free(s->live[i].pages);
	}
	free(s->live);
	free(s->queue);
	free(s->running);
	free(s->slots);
	free(s->row);
	sim_cache_free(s->cache);
	free(s);
}

double sim_now(const struct sim *s)
{
	return s->now;
}

size_t sim_refused(const struct sim *s)
{
	return s->refused;
}

int sim_pool_pages(const struct sim *s)
{
	return sim_cache_pages(s->cache);
}

/* Tokens are numbers: those of a shared prefix are its group's. */
static void arrive(struct sim *s, int i)
{
	const struct sim_request *r = &s->r[i];
	struct live *k = &s->live[i];
	int all = r->prompt + r->output, t;

	if (r->prompt < 1 || r->output < 1 || all > s->l.slots) {
		k->where = ENDED;
		s->refused++;
		return;
	}
	k->tokens = xcalloc((size_t)all, sizeof(int));
	k->apages = all / s->l.page_size + 2;
	k->pages = xcalloc((size_t)k->apages, sizeof(int));
	for (t = 0; t < all; t++)
		k->tokens[t] = t < r->prefix ? -1 - r->group : i + 1;
	/* two requests differ from their first own token on */
	k->where = WAITING;
	k->slot = -1;
	s->queue[s->nqueue++] = i;
}

static void leave_queue(struct sim *s, int at)
{
	memmove(s->queue + at, s->queue + at + 1,
		(size_t)(s->nqueue - at - 1) * sizeof(int));
	s->nqueue--;
}

static void leave_running(struct sim *s, int at)
{
	memmove(s->running + at, s->running + at + 1,
		(size_t)(s->nrunning - at - 1) * sizeof(int));
	s->nrunning--;
}

static int free_slot(struct sim *s)
{
	int i = 1;	/* 0 is the padding's */

	while (s->slots[i])
		i++;
	s->slots[i] = true;
	return i;
}

static int pages_for(const struct sim *s, int tokens)
{
	return (tokens + s->l.page_size - 1) / s->l.page_size;
}

/* Memory that running answers are expected to take yet. */
static double expected(const struct sim *s)
{
	double sum = 0;
	int i;

	for (i = 0; i < s->nrunning; i++) {
		const struct sim_request *r = &s->r[s->running[i]];
		int left = r->output - s->live[s->running[i]].answered;

		sum += s->ratio * (left < CLIP ? left : CLIP);
	}
	return sum;
}

static bool grow(struct sim *s, struct live *k, int tokens)
{
	int want = pages_for(s, tokens);

	if (want <= k->npages)
		return true;
	if (!sim_cache_take(s->cache, want - k->npages,
			    k->pages + k->npages))
		return false;
	k->npages = want;
	return true;
}

/* Its tokens stay in the tree, so that others may share them. */
static void release(struct sim *s, int i, int tokens)
{
	struct live *k = &s->live[i];

	sim_cache_insert(s->cache, k->tokens, tokens, k->pages, k->npages);
	if (k->node)
		sim_cache_unlock(s->cache, k->node);
	k->node = NULL;
	k->npages = 0;
	if (k->slot >= 0)
		s->slots[k->slot] = false;
	k->slot = -1;
}

static void add_row(struct sim *s, struct sim_step *step, int i, int had,
		    int fresh, bool samples)
{
	const struct live *k = &s->live[i];

	s->row[step->n++] = (struct sim_row){ .request = i, .slot = k->slot,
		.had = had, .fresh = fresh, .samples = samples,
		.npages = pages_for(s, had + fresh), .pages = k->pages };
}

/* ---- prefill ---- */

/*
 * Adds what fits of a request's prompt; false: the batch is full. *room is
 * memory, *chunk the tokens that the batch may still take.
 */
static bool admit(struct sim *s, struct sim_step *step, int i, double *room,
		  int *chunk, int *input)
{
	const struct sim_request *r = &s->r[i];
	struct live *k = &s->live[i];
	int fresh, clip = r->output < CLIP ? r->output : CLIP, prompt;
	bool again = i == s->chunked;

	prompt = r->prompt + k->answered;	/* retracted: its answer, too */
	if (!again) {
		/* the last token is always computed */
		k->done = sim_cache_match(s->cache, k->tokens, prompt - 1,
					  k->pages, &k->node);
		k->npages = k->done / s->l.page_size;
	}
	fresh = prompt - k->done;
	if (fresh > *chunk)
		fresh = *chunk / s->l.page_size * s->l.page_size;
	if (fresh < 1 || (step->n && fresh > *input) ||
	    (!again && (double)(prompt - k->done + clip) > *room &&
	     (step->n || s->nrunning)) || !grow(s, k, k->done + fresh)) {
		if (!again && k->node) {
			sim_cache_unlock(s->cache, k->node);
			k->node = NULL;
			k->npages = 0;
		}
		return false;
	}
	if (k->slot < 0)
		k->slot = free_slot(s);
	add_row(s, step, i, k->done, fresh, k->done + fresh == prompt);
	k->done += fresh;
	*chunk -= fresh;
	*input -= fresh;
	*room -= fresh + clip;
	s->chunked = k->done < prompt ? i : -1;
	return true;
}

static bool prefill(struct sim *s, struct sim_step *step)
{
	double room = (double)sim_cache_available(s->cache) - expected(s);
	int chunk = s->l.chunked_prefill, input = s->l.max_prefill, i, t = 0;
	int before = s->chunked;

	step->n = 0;
	step->prefill = true;
	if (before >= 0)
		admit(s, step, before, &room, &chunk, &input);
	while (s->chunked < 0 && s->nqueue && chunk > 0 &&
	       s->nrunning + step->n < s->l.max_running) {
		i = s->queue[0];
		if (!admit(s, step, i, &room, &chunk, &input))
			break;
		leave_queue(s, 0);
		s->live[i].where = RUNNING;
	}
	for (i = 0; i < step->n; i++)
		t += s->row[i].fresh;
	if (step->n)
		s->now += s->l.step_s + s->l.token_s * t;
	return step->n;
}

/* ---- decode ---- */

/* The one with the fewest answered tokens goes back to the queue. */
static void retract(struct sim *s)
{
	int i, worst = 0;

	for (i = 1; i < s->nrunning; i++)
		if (s->live[s->running[i]].answered <=
		    s->live[s->running[worst]].answered)
			worst = i;
	i = s->running[worst];
	release(s, i, s->live[i].done);
	s->live[i].where = WAITING;
	leave_running(s, worst);
	memmove(s->queue + 1, s->queue, (size_t)s->nqueue * sizeof(int));
	s->queue[0] = i;
	s->nqueue++;
	s->ratio = s->ratio + 0.2 < 1 ? s->ratio + 0.2 : 1;
}

static bool decode(struct sim *s, struct sim_step *step)
{
	int i;

	step->n = 0;
	step->prefill = false;
	for (i = 0; i < s->nrunning; i++) {
		struct live *k = &s->live[s->running[i]];

		if (grow(s, k, k->done + 1))
			continue;
		if (s->nrunning == 1)
			return false;
		retract(s);
		i = -1;		/* whoever has grown has its page already */
	}
	for (i = 0; i < s->nrunning; i++) {
		struct live *k = &s->live[s->running[i]];

		add_row(s, step, s->running[i], k->done, 1, true);
		k->done++;
	}
	s->ratio -= (FIRST_RATIO - LEAST_RATIO) / RATIO_STEPS;
	s->ratio = s->ratio > LEAST_RATIO ? s->ratio : LEAST_RATIO;
	if (step->n)
		s->now += s->l.step_s;
	return step->n;
}

/* What came out of the last step: requests that begin to answer, or end. */
static void settle(struct sim *s, const struct sim_step *step)
{
	int i, k;

	for (i = 0; i < step->n; i++) {
		const struct sim_row *row = &s->row[i];
		struct live *l = &s->live[row->request];
		struct sim_request *r = &s->r[row->request];

		/* a prompt may be shared as soon as it is computed */
		if (step->prefill)
			sim_cache_share(s->cache, l->tokens, l->done,
					l->pages, &l->node);
		if (!row->samples)
			continue;
		if (!l->answered++)
			r->first = s->now;
		if (l->answered < r->output) {
			if (step->prefill)
				s->running[s->nrunning++] = row->request;
			continue;
		}
		r->end = s->now;
		l->where = ENDED;
		for (k = 0; k < s->nrunning; k++)
			if (s->running[k] == row->request)
				leave_running(s, k);
		release(s, row->request, l->done);
	}
}

bool sim_next(struct sim *s, struct sim_step *step)
{
	if (step->row)
		settle(s, step);
	for (;;) {
		while (s->next < s->n && s->r[s->next].arrival <= s->now)
			arrive(s, (int)s->next++);
		step->row = s->row;
		step->at = s->now;
		if (prefill(s, step) || decode(s, step))
			return true;
		if (s->next == s->n)
			return false;
		/* nothing to do until somebody comes */
		if (s->r[s->next].arrival > s->now)
			s->now = s->r[s->next].arrival;
	}
}
