#include "serving.h"
#include "keeper.h"
#include "load.h"
#include "servlog.h"

#include <time.h>

struct server {
	struct serving *s;
	struct keeper keeper;
	char *log;
	off_t from;		/* where the log of this server begins */
	struct strbuf *why;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void rest(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static enum served why_not(struct server *v, const char *what)
{
	strbuf_reset(v->why);
	strbuf_addf(v->why, "%s: ", what);
	return servlog_reason(v->log, v->from, v->why) ? NO_MEMORY : FAILED;
}

/* Once around: what is new is slimmed, and a full disk halts the server. */
static enum served tend(struct server *v)
{
	struct dumpslim *d = v->s->slim;
	struct strbuf no = STRBUF_INIT;
	int i;

	if (*v->s->stop) {
		strbuf_addstr(v->why, "stopped by a signal");
		return STOPPED;
	}
	if (dumpslim_step(d, false, v->why))
		return DISK_FULL;
	if (d->held + d->kept < v->s->budget)
		return SERVED;
	keeper_pause(&v->keeper, true);
	for (i = 0; i < 100 && d->held + d->kept >= v->s->budget; i++) {
		rest(50);
		dumpslim_step(d, i > 50, &no);
	}
	keeper_pause(&v->keeper, false);
	strbuf_release(&no);
	if (d->kept < v->s->budget)
		return SERVED;
	strbuf_addstr(v->why, "the dumps fill their budget of disk even"
		      " without float data");
	return DISK_FULL;
}

static enum served wait_health(struct server *v, int port)
{
	double end = now() + v->s->health_s;
	enum served o;

	for (; now() < end; rest(250)) {
		if (keeper_ended(&v->keeper) >= 0)
			return why_not(v, "the server ended while starting");
		if (load_get(port, "/health") == 200)
			return SERVED;
		o = tend(v);
		if (o != SERVED)
			return o;
	}
	return why_not(v, "the server was not healthy in time");
}

static const char *const samplings[] = {
	"\"temperature\":1.0,\"top_p\":0.9",
	"\"temperature\":1.0,\"top_k\":50",
	"\"temperature\":0.8,\"top_k\":40,\"top_p\":0.95",
	"\"temperature\":0",
	"\"temperature\":1.0,\"min_p\":0.05",	/* last: see samplings_of() */
};

/* SGLang 0.5.15 ends itself on min_p with --enable-deterministic-inference. */
static size_t samplings_of(const struct serving *s)
{
	bool fixed = json_array_has(json_object_get(s->e.session, "args"),
				    "--enable-deterministic-inference");

	return ARRAY_SIZE(samplings) - fixed;
}

static enum served failed_load(struct server *v, const struct load_state *st)
{
	int i;

	for (i = 0; i < 20; i++, rest(100))	/* its log tells more */
		if (keeper_ended(&v->keeper) >= 0)
			return why_not(v, "the server ended under load");
	if (st->done)
		return SERVED;
	strbuf_reset(v->why);
	strbuf_addf(v->why, "every request failed (status %ld): %s",
		    st->status, st->why);
	return servlog_is_memory(st->why) ? NO_MEMORY : FAILED;
}

/* loads: how many there are, to share what is wanted; 0: the short first. */
static enum served run_load(struct server *v, const struct load *l,
			    size_t loads)
{
	struct serving *s = v->s;
	struct load_run *r = load_start(l, s->e.port, s->load_s);
	double begin = now(), asked = begin, took = 1;
	struct strbuf line = STRBUF_INIT;
	enum served o = SERVED;
	struct load_state st;
	bool over = false;

	if (loads)
		s->enough(true, loads);
	while (!over && o == SERVED && now() < begin + s->load_s) {
		over = load_step(r, 200);
		if (keeper_ended(&v->keeper) >= 0) {
			o = why_not(v, "the server ended under load");
			break;
		}
		o = tend(v);
		if (loads && o == SERVED && now() > asked + 2 + 5 * took) {
			took = now();
			over |= s->enough(false, loads);
			asked = now();
			took = asked - took;
		}
	}
	load_state(r, &st);
	strbuf_addf(&line, "load: %d at a time, %d prompts of at most %d"
		    " tokens: %d answered, %d failed, %d dropped, %.0f s, %zu"
		    " calls in all", l->batch, st.sent, l->input, st.done,
		    st.failed, st.open, now() - begin, s->slim->calls);
	s->note(line.buf);
	if (o == SERVED && st.failed)
		o = failed_load(v, &st);
	load_end(r);
	strbuf_release(&line);
	return o;
}

static enum served all_loads(struct server *v)
{
	const struct serving *s = v->s;
	struct load l = { .batch = 2, .requests = 10, .input = 64, .output = 8,
			  .vocab = s->vocab, .prefixes = 2 };
	int most = s->context ? s->context - s->output - 1 : INT_MAX, i, k;
	size_t loads = (size_t)s->nbatches * (size_t)s->ninputs, at = 0;
	size_t kinds = samplings_of(s), j;
	enum served o = SERVED;

	for (j = 0; j < kinds && o == SERVED; j++) {
		l.sampling = samplings[j];
		o = run_load(v, &l, 0);
	}
	if (s->e.trace_only)
		return o;
	for (k = 0; k < s->ninputs; k++)
		for (i = 0; i < s->nbatches && o == SERVED; i++) {
			l.batch = s->batches[i] < s->most ? s->batches[i] :
				s->most;
			l.requests = 2 * l.batch;
			l.input = s->inputs[k] < most || most < 16 ?
				s->inputs[k] : most;
			l.output = s->output;
			l.prefixes = 4;
			l.sampling = samplings[at++ % kinds];
			l.lengths = (const int (*)[2])s->lengths;
			l.nlengths = s->nlengths;
			o = run_load(v, &l, loads);
		}
	return o;
}

enum served serving_run(struct serving *s, struct strbuf *why)
{
	struct server v = { .s = s, .why = why };
	struct strbuf log = STRBUF_INIT, line = STRBUF_INIT;
	json_t *words, *env;
	size_t i;
	char **argv, **envp;
	enum served o;

	s->started = false;
	s->e.port = load_free_port();
	words = engine_command(&s->e);
	env = engine_environment(&s->e);
	argv = json_strings(words);
	envp = json_strings(env);
	strbuf_addstr(&line, "server:");
	for (i = 0; argv[i]; i++)
		strbuf_addf(&line, " %s", argv[i]);
	s->note(line.buf);
	strbuf_addf(&log, "%s/server.log", s->e.dir);
	v.log = log.buf;
	v.from = servlog_size(log.buf);
	if (keeper_start(&v.keeper, argv, envp, log.buf, why)) {
		o = FAILED;
	} else {
		o = wait_health(&v, s->e.port);
		s->started = o == SERVED;
		if (s->started)
			o = all_loads(&v);
		keeper_stop(&v.keeper, o == SERVED ? 20 : 5);
	}
	free(argv);
	free(envp);
	json_decref(words);
	json_decref(env);
	strbuf_release(&log);
	strbuf_release(&line);
	return o;
}
