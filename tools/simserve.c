/*
 * simserve - an engine without a GPU: one session, from requests to
 * workload files of its own tree.
 *
 * A scheduler with chunked prefill, prefix cache and paged memory
 * (lib/sim_sched.h) is given requests; what it does in each step is written
 * as the calls that an engine would make (lib/sim_op.h), in the form of
 * FlashInfer's log, and dumpwl makes workloads of them. They are never mixed
 * with those of a real engine, and never published.
 */
#include "lib/die.h"
#include "lib/numlist.h"
#include "lib/opt.h"
#include "lib/outfile.h"
#include "lib/session.h"
#include "lib/sim_load.h"
#include "lib/sim_op.h"

#include <fcntl.h>
#include <glob.h>

#define LOADS 16
#define OPS 256

static const char *plan_file, *session_name, *dataset, *dir, *config;
static const char *kernels_dir = "kernels", *out_dir = "tmp/sim-trace";
static const char *requests_file, *against, *batches = "8,32,64,128";
static const char *inputs = "1024,8192", *only;
static long output = 256, tokens = 65536, calls = 120, step_us = 20000;
static long token_us = 30, chunk = 8192, running = 4096, page = 1;
static bool fit, all, keep;

static const struct tool tool = {
	"--plan=FILE --session=NAME --dataset=DIR --dir=DIR [options]",
	"Play a serving engine without a GPU and make workloads of its calls.",
	"sessions.json of plan-sessions; DATASET/definitions; the model's\n"
	"        config.json; a request schedule",
	"DIR/session.json, DIR/collection.log; TO/workloads and blobs, through\n"
	"        dumpwl; DIR/dumps with --keep"
};

static const struct option options[] = {
	OPT_STR('p', "plan", &plan_file, "FILE", "sessions.json"),
	OPT_STR('s', "session", &session_name, "NAME", "of the plan"),
	OPT_STR('d', "dataset", &dataset, "DIR", "clone of flashinfer-trace"),
	OPT_STR(0, "to", &out_dir, "DIR", "workloads go there [tmp/sim-trace]"),
	OPT_STR(0, "dir", &dir, "DIR", "the session's own folder"),
	OPT_STR('c', "config", &config, "FILE", "the model's config.json"),
	OPT_STR('k', "kernels", &kernels_dir, "DIR", "the catalogue [kernels]"),
	OPT_STR('n', "definition", &only, "NAME",
		"this one, instead of a plan and a session"),
	OPT_INT(0, "page-size", &page, "N", "of the memory, without a plan [1]"),
	OPT_STR('r', "requests", &requests_file, "FILE",
		"a recorded schedule (JSON), or INPUT OUTPUT a line"),
	OPT_STR(0, "batches", &batches, "N,N", "requests at a time"),
	OPT_STR(0, "inputs", &inputs, "N,N", "longest prompts, tokens"),
	OPT_INT(0, "output", &output, "N", "longest answer, tokens [256]"),
	OPT_INT(0, "tokens", &tokens, "N", "slots of the KV cache [65536]"),
	OPT_INT(0, "chunk", &chunk, "N", "chunked_prefill_size [8192]"),
	OPT_INT(0, "max-running", &running, "N", "requests [4096]"),
	OPT_INT(0, "step-us", &step_us, "N", "a step takes [20000]"),
	OPT_INT(0, "token-us", &token_us, "N", "a prompt token takes [30]"),
	OPT_BOOL(0, "fit", &fit,
		 "find the step that makes it as long as the recorded run"),
	OPT_INT(0, "calls", &calls, "N",
		"steps of a definition that are written, the most telling [120]"),
	OPT_BOOL(0, "all", &all, "write every step"),
	OPT_BOOL(0, "keep", &keep, "keep DIR/dumps"),
	OPT_STR(0, "against", &against, "DUMPS",
		"print how far decode steps are from those of recorded dumps"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT;
static json_t *session, *skipped;
static struct sim_op *op[OPS];
static struct wl_target target[OPS];
static size_t nops;
static size_t written, steps;
static FILE *journal;

static char *in_dir(const char *name)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "%s/%s", dir, name);
	return strbuf_detach(&sb);
}

static void load_op(const char *name, const struct sim_view *v)
{
	struct wl_target *t = &target[nops];
	struct strbuf path = STRBUF_INIT, why = STRBUF_INIT;
	glob_t g;

	strbuf_addf(&path, "%s/definitions/*/%s.json", dataset, name);
	if (nops == OPS || glob(path.buf, 0, NULL, &g))
		die(EX_REFUSED, "%s has no definition %s", dataset, name);
	*t = (struct wl_target){ .refused = json_object() };
	t->def = json_load_path(g.gl_pathv[0], JSON_MAX_CONFIG, &err);
	t->name = json_get_str(t->def, "name");
	t->op = json_get_str(t->def, "op_type");
	if (!t->def || !t->name || !t->op)
		die(EX_REFUSED, "%s: %s", g.gl_pathv[0], err.len ? err.buf :
		    "name or op_type is missing");
	wl_target_fill(t, kernels_dir);
	op[nops] = sim_op_new(t, v, &why);
	if (op[nops]) {
		nops++;
	} else {
		json_object_set_new(skipped, name, json_string(why.buf));
		warn("left out: %s", why.buf);
	}
	globfree(&g);
	strbuf_release(&path);
	strbuf_release(&why);
}

/* ---- which steps are written ---- */

/*
 * A step tells something new when its number of requests, of fresh tokens
 * or of pages is not near one that was written; then the far ones are all
 * there, and many alike are not.
 */
static bool is_new(json_t *seen, const struct sim_step *s)
{
	long fresh = 0, pages = 0;
	char key[64];
	int i, a = 0, b = 0;

	for (i = 0; i < s->n; i++) {
		fresh += s->row[i].fresh;
		pages += s->row[i].npages;
	}
	while ((1L << (a / 4)) * (4 + a % 4) / 4 < fresh)
		a++;
	while ((1L << (b / 2)) * (2 + b % 2) / 2 < pages)
		b++;
	snprintf(key, sizeof(key), "%d %d %d %d", s->prefill,
		 s->prefill ? s->n : s->n / (1 + s->n / 16), a, b);
	if (json_object_get(seen, key))
		return false;
	json_object_set_new(seen, key, json_true());
	return true;
}

static int run(struct sim_requests *r, const struct sim_limits *l,
	       struct sim_view *v, int dumps)
{
	struct sim *s = sim_new(l, r->v, r->n);
	struct sim_step step = { .row = NULL };
	json_t *seen = json_object();
	size_t kept[2] = { 0, 0 };
	long long ms = 0;
	size_t i;
	int n, ret = 0;

	v->pool_pages = sim_pool_pages(s);
	v->request = r->v;
	while (!ret && sim_next(s, &step)) {
		steps++;
		if (dumps < 0 || (!all && (kept[step.prefill] >= (size_t)calls
					   || !is_new(seen, &step))))
			continue;
		kept[step.prefill]++;
		/* calls are a millisecond apart, so that they have an order */
		if ((long long)(step.at * 1000) > ms)
			ms = (long long)(step.at * 1000);
		for (i = 0; i < nops && !ret; i++) {
			n = sim_op_step(op[i], &step, dumps, &ms, &err);
			ret = n < 0 ? -1 : 0;
			written += (size_t)(n > 0 ? n : 0);
		}
	}
	if (!ret && sim_refused(s) && dumps >= 0)
		warn("%zu request(s) are longer than the memory of %d tokens",
		     sim_refused(s), l->slots);
	json_decref(seen);
	sim_free(s);
	return ret;
}

/* How long the requests take with this step, in virtual seconds. */
static double wall(const struct sim_requests *r, struct sim_limits l,
		   double step_s)
{
	struct sim_request *copy = xcalloc(r->n + 1, sizeof(*copy));
	struct sim_step step = { .row = NULL };
	struct sim *s;
	double t;

	memcpy(copy, r->v, r->n * sizeof(*copy));
	l.step_s = step_s;
	s = sim_new(&l, copy, r->n);
	while (sim_next(s, &step))
		;
	t = sim_now(s);
	sim_free(s);
	free(copy);
	return t;
}

static double fitted(const struct sim_requests *r, const struct sim_limits *l)
{
	double lo = 0.0005, hi = 2, mid;
	int i;

	if (!(r->wall_s > 0))
		die(EX_USAGE, "--fit needs a schedule that tells pass_wall_s");
	for (i = 0; i < 24; i++) {
		mid = (lo + hi) / 2;
		if (wall(r, *l, mid) > r->wall_s)
			hi = mid;
		else
			lo = mid;
	}
	return (lo + hi) / 2;
}

static void compare(const char *dumps)
{
	struct sim_shape a, b;

	if (sim_shape_read(&a, dumps, &err) ||
	    sim_shape_read(&b, against, &err))
		die(EX_REFUSED, "%s", err.buf);
	printf("decode steps: %zu simulated, %zu recorded\n", a.nbatch,
	       b.nbatch);
	printf("KS distance, batch size:        %.3f\n",
	       sim_distance(a.batch, a.nbatch, b.batch, b.nbatch));
	printf("KS distance, KV length:         %.3f\n",
	       sim_distance(a.kv, a.nkv, b.kv, b.nkv));
	printf("KS distance, pages per request: %.3f\n",
	       sim_distance(a.pages, a.nkv, b.pages, b.nkv));
	sim_shape_release(&a);
	sim_shape_release(&b);
}

static void load_requests(struct sim_requests *r)
{
	int b[LOADS], in[LOADS], nb, nin;

	nb = number_list(batches, 1, 4096, b, LOADS);
	nin = number_list(inputs, 16, 1 << 20, in, LOADS);
	if (nb < 1 || nin < 1)
		opt_usage("--batches and --inputs are at most %d numbers like"
			  " 8,32; an input is at least 16", LOADS);
	if (!requests_file)
		sim_load_make(r, b, nb, in, nin, (int)output);
	else if (sim_load_file(r, requests_file, b[nb - 1], &err))
		die(EX_REFUSED, "%s", err.buf);
}

static void load_session(struct sim_view *v)
{
	json_t *absent = json_array(), *plan, *name, *ps, *defs;
	size_t i;

	if (only) {
		session = json_pack("{s:s, s:i, s:[s]}", "name", "one", "tp",
				    1, "definitions", only);
	} else {
		session = session_load(plan_file, session_name, dataset,
				       &plan, absent, &err);
		json_array_foreach(absent, i, name)
			warn("%s has no definition %s: left out (a dataset of"
			     " SOURCE=snapshot has only ours)", dataset,
			     json_string_value(name));
		/* published ones, which this dataset does not have: not again in each run */
		if (!session && json_array_size(absent)) {
			warn("%s: nothing to simulate", err.buf);
			exit(done());
		}
		if (!session)
			die(EX_REFUSED, "%s", err.buf);
	}
	ps = json_object_get(session, "page_size");
	if (json_integer_value(ps) > 0)
		page = (long)json_integer_value(ps);
	v->page_size = (int)page;
	v->tp = (int)json_integer_value(json_object_get(session, "tp"));
	defs = json_object_get(session, "definitions");
	json_array_foreach(defs, i, name)
		load_op(json_string_value(name), v);
	json_decref(absent);
}

static json_t *load_config(void)
{
	json_t *c, *t;

	if (!config)
		return json_object();
	c = json_load_path(config, JSON_MAX_CONFIG, &err);
	if (!c)
		die(EX_REFUSED, "%s", err.buf);
	t = json_object_get(c, "text_config");
	return json_is_object(t) ? t : c;
}

static void note(const struct sim_requests *r, const json_t *report)
{
	const char *name;
	json_t *d;

	fprintf(journal, "simulated engine: %zu requests, %zu steps, %zu calls"
		" written\n", r->n, steps, written);
	json_object_foreach(json_object_get(report, "definitions"), name, d)
		fprintf(journal, "%s: %lld accepted, %lld entries\n", name,
			(long long)json_integer_value(json_object_get(d,
							"accepted")),
			(long long)json_integer_value(json_object_get(d,
							"entries")));
}

static void finish(const struct sim_requests *r, const char *dumps)
{
	struct session_dumpwl d = { .kernels = kernels_dir,
		.dataset = dataset, .to = out_dir, .dumps = dumps,
		.definitions = json_object_get(session, "definitions"),
		.write = true };
	char *path = in_dir("session.json");
	json_t *report, *o, *v;
	const char *name;
	int code;

	report = session_dumpwl(&d, &code, &err);
	if (!report)
		die(code, "%s", err.buf);
	note(r, report);
	/* what of it was there already is no part of the result: a run that was killed wrote it */
	json_object_foreach(json_object_get(report, "definitions"), name, v) {
		json_object_del(v, "added");
		json_object_del(v, "kept");
	}
	o = json_pack("{s:O, s:s, s:s, s:I, s:I, s:O, s:O}", "name",
		      json_object_get(session, "name"), "status", "done",
		      "engine", "sim", "steps", (json_int_t)steps, "calls",
		      (json_int_t)written, "skipped", skipped, "definitions",
		      json_object_get(report, "definitions"));
	if (json_save(o, path, &err))
		die(EX_AGAIN, "%s", err.buf);
	if (!keep && outfile_remove_tree(dumps, &err))
		die(EX_AGAIN, "%s", err.buf);
	json_decref(o);
	json_decref(report);
	free(path);
}

static int open_dumps(const char *path)
{
	struct strbuf inside = STRBUF_INIT;
	int fd;

	strbuf_addf(&inside, "%s/", path);
	if (outfile_remove_tree(path, &err) ||
	    outfile_mkdirs(inside.buf, &err))
		die(EX_AGAIN, "%s", err.buf);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		die(EX_AGAIN, "%s: %s", path, strerror(errno));
	strbuf_release(&inside);
	return fd;
}

int main(int argc, char **argv)
{
	int first = opt_parse(argc, argv, &tool, options), fd;
	struct sim_requests r;
	struct sim_limits l;
	struct sim_view v = { .tp = 1 };
	char *dumps, *path;

	if (first != argc || !dataset || !dir ||
	    (!only && (!plan_file || !session_name)))
		opt_usage("--dataset, --dir, and --plan and --session (or"
			  " --definition) are needed");
	if (output < 1 || tokens < 1024 || chunk < 64 || calls < 1 ||
	    step_us < 1 || token_us < 0 || running < 1 || running > 4096 ||
	    page < 1 || page > 1024)
		opt_usage("--tokens is at least 1024, --chunk 64, --max-running"
			  " 1 to 4096, --page-size 1 to 1024");
	skipped = json_object();
	v.config = load_config();
	v.max_running = (int)running;
	load_session(&v);
	load_requests(&r);
	l = (struct sim_limits){ .slots = (int)(tokens / v.page_size *
		v.page_size), .page_size = v.page_size,
		.chunked_prefill = (int)chunk, .max_prefill = 2 * (int)chunk,
		.max_running = (int)running, .step_s = (double)step_us / 1e6,
		.token_s = (double)token_us / 1e6 };
	if (fit)
		l.step_s = fitted(&r, &l);
	dumps = in_dir("dumps");
	fd = open_dumps(dumps);
	path = in_dir("collection.log");
	journal = fopen(path, "w");
	if (!journal)
		die(EX_AGAIN, "unable to write %s: %s", path, strerror(errno));
	free(path);
	if (run(&r, &l, &v, fd))
		die(EX_REFUSED, "%s", err.buf);
	close(fd);
	if (fit)
		printf("a step takes %.1f ms\n", l.step_s * 1000);
	if (against)
		compare(dumps);
	finish(&r, dumps);
	free(dumps);
	sim_load_release(&r);
	return done();
}
