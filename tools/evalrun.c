/*
 * evalrun - run native solutions: the worker of evalwl.
 *
 * Reads jobs (evaljob.h), one a line, and answers each with one line. What a
 * solution prints goes to standard error. A crash or a hang of a solution
 * is this process's; evalwl goes on without it.
 */
#include "lib/die.h"
#include "lib/json.h"
#include "lib/opt.h"
#include "lib/safetensors.h"
#include "lib/tensorset.h"

#include <dlfcn.h>

static const char *device = "cuda", *libs;

static const struct tool tool = {
	"[--device=cuda|cpu] <JOBS >ANSWERS",
	"Run solutions that are shared objects and compare what they give.",
	"jobs, a line each (evaljob.h)", "an answer a line"
};

static const struct option options[] = {
	OPT_STR(0, "device", &device, "WHICH", "cuda or cpu [cuda]"),
	OPT_STR(0, "devices", &libs, "DIR", "where libevalcuda.so lies"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT;
static struct evaldev dev;

struct solution {
	char *path;
	void *so;
	int (*run)(const struct ob_arg *arg, void *workspace, void *stream);
	size_t (*workspace)(const struct ob_arg *arg);
	void *scratch;
	size_t scratch_size;
};

struct call {
	struct solution *s;
	struct ob_arg arg[64];
	size_t nin, nout;
	void *alloc[64];
	int dtype[64];
	int64_t elements[64];
};

static int run_call(void *data)
{
	struct call *c = data;

	return c->s->run(c->arg, c->s->scratch, dev.stream());
}

/* What goes wrong in a solution: an answer, not the end of the worker. */
static json_t *status(const char *word, const char *fmt, ...)
{
	struct strbuf sb = STRBUF_INIT;
	va_list ap;
	json_t *ret;

	va_start(ap, fmt);
	strbuf_vaddf(&sb, fmt, ap);
	va_end(ap);
	ret = json_pack("{s:s, s:s}", "status", word, "log", sb.buf);
	strbuf_release(&sb);
	return ret;
}

static json_t *device_error(const char *what)
{
	return status("RUNTIME_ERROR", "%s: %s", what, dev.error());
}

/*
 * A library that was used stays: the next one wants cuBLAS again, say, which takes half a second to load.
 */
static bool load_solution(struct solution *s, const char *path)
{
	if (s->path && !strcmp(s->path, path))
		return true;
	if (s->scratch)
		dev.free(s->scratch);
	free(s->path);
	*s = (struct solution){ .path = xstrdup(path) };
	s->so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!s->so)
		return false;
	*(void **)&s->run = dlsym(s->so, "onboard_run");
	*(void **)&s->workspace = dlsym(s->so, "onboard_workspace");
	return s->run && s->workspace;
}

static void release(struct call *c)
{
	size_t i;

	for (i = 0; i < c->nin + c->nout; i++)
		if (c->alloc[i])
			dev.free(c->alloc[i]);
	c->nin = c->nout = 0;
}

static json_t *arguments(struct call *c, const json_t *job)
{
	struct solution *s = c->s;
	const json_t *in, *out;
	size_t i;

	*c = (struct call){ .s = s };
	if (json_array_size(json_object_get(job, "inputs")) +
	    json_array_size(json_object_get(job, "outputs")) > ARRAY_SIZE(c->arg))
		return status("RUNTIME_ERROR", "more than %zu inputs and outputs",
			      ARRAY_SIZE(c->arg));
	json_array_foreach(json_object_get(job, "inputs"), i, in) {
		if (tensor_shape(in, &c->arg[i], &c->dtype[i],
				 &c->elements[i], &err))
			return status("RUNTIME_ERROR", "%s", err.buf);
		c->nin++;
		if (c->dtype[i] >= 0 && dev.alloc(&c->alloc[i], dev.size(
					c->dtype[i], c->elements[i])))
			return device_error("memory for the inputs");
		c->arg[i].data = c->alloc[i];
	}
	json_array_foreach(json_object_get(job, "outputs"), i, out) {
		size_t k = c->nin + i;

		if (tensor_shape(out, &c->arg[k], &c->dtype[k],
				 &c->elements[k], &err))
			return status("RUNTIME_ERROR", "%s", err.buf);
		c->nout++;
		if (dev.alloc(&c->alloc[k], dev.size(c->dtype[k], c->elements[k])))
			return device_error("memory for the outputs");
		c->arg[k].data = c->alloc[k];
	}
	return NULL;
}

static json_t *scratch(struct call *c)
{
	size_t want = c->s->workspace(c->arg);

	if (want <= c->s->scratch_size)
		return NULL;
	if (c->s->scratch)
		dev.free(c->s->scratch);
	c->s->scratch = NULL;
	c->s->scratch_size = 0;
	if (dev.alloc(&c->s->scratch, want) ||
	    dev.set(c->s->scratch, 0, want))
		return device_error("memory for the workspace");
	c->s->scratch_size = want;
	return NULL;
}

static json_t *fill(struct call *c, const json_t *job, int trial)
{
	const json_t *in;
	size_t i;

	json_array_foreach(json_object_get(job, "inputs"), i, in)
		if (c->alloc[i] && tensor_fill(&dev, in, c->alloc[i],
				c->dtype[i], c->elements[i], trial, &err))
			return status("RUNTIME_ERROR", "%s", err.buf);
	return NULL;
}

/* The outputs of one trial against the reference's. */
static json_t *compare(struct call *c, const json_t *job, int trial,
		       json_t *answer)
{
	const char *path = json_string_value(json_array_get(json_object_get(
				job, "expect"), (size_t)trial));
	struct tensor_verdict v = { 0 };
	const json_t *out;
	struct safetensors st;
	json_t *bad = NULL;
	size_t i;

	if (!path || st_open(&st, path, &err))
		return status("RUNTIME_ERROR", "no reference outputs: %s", err.buf);
	json_array_foreach(json_object_get(job, "outputs"), i, out) {
		size_t k = c->nin + i;

		if (tensor_compare(&dev, job, out, &st, c->alloc[k], c->dtype[k],
				   c->elements[k], &v, &err)) {
			bad = status("RUNTIME_ERROR", "%s", err.buf);
			break;
		}
	}
	st_close(&st);
	if (!bad)
		tensor_verdict_add(&v, answer);
	return bad;
}

static json_t *measure(struct call *c, const json_t *job, json_t *answer)
{
	const json_t *t = json_object_get(job, "timing");
	struct ev_timing how = {
		(int)json_integer_value(json_object_get(t, "warmup")),
		(int)json_integer_value(json_object_get(t, "iterations")),
		json_number_value(json_object_get(t, "max_ms")),
		json_is_true(json_object_get(t, "graph")),
		json_is_true(json_object_get(t, "events")) };
	struct ev_times times;

	if (!json_is_object(t))
		return NULL;
	if (dev.measure(run_call, c, &how, &times))
		return device_error("timing");
	tensor_times_add(&times, answer);
	return NULL;
}

/* ---- sampling: what is drawn against the expected distribution ---- */

static json_t *draw(struct call *c, const json_t *job, json_t *answer)
{
	struct tensor_draws d = { .dev = &dev, .job = job, .arg = c->arg,
		.alloc = c->alloc, .dtype = c->dtype, .nin = c->nin,
		.call = run_call, .data = c };
	json_t *bad = NULL;

	if (tensor_draws_prepare(&d, &err))
		return status("RUNTIME_ERROR", "%s", err.buf);
	bad = scratch(c);
	if (!bad && tensor_draws_run(&d, &err))
		bad = status("RUNTIME_ERROR", "%s", err.buf);
	if (!bad)
		tensor_draws_add(&d, answer);
	tensor_draws_release(&d);
	return bad;
}

static json_t *evaluate(struct solution *s, const json_t *job)
{
	const char *path = json_get_str(job, "solution");
	int trials = (int)json_integer_value(json_object_get(job, "trials")), t;
	bool sampling = !strcmp(json_get_str(job, "kind"), "sampling");
	json_t *answer = json_object(), *bad = NULL;
	struct call c = { .s = s };

	if (!path || !load_solution(s, path))
		bad = status("RUNTIME_ERROR", "%s: %s", path ? path : "?",
			     s->so ? "no onboard_run() and onboard_workspace()" :
			     dlerror());
	if (!bad)
		bad = arguments(&c, job);
	if (!bad)
		bad = scratch(&c);
	for (t = 0; t < (sampling ? 1 : trials) && !bad; t++) {
		bad = fill(&c, job, t);
		if (!bad && tensor_poison(&dev, c.alloc + c.nin, c.dtype + c.nin,
					  c.elements + c.nin, c.nout))
			bad = device_error("the outputs");
		if (!bad && sampling)
			bad = draw(&c, job, answer);
		else if (!bad && (run_call(&c) || dev.sync()))
			bad = device_error("the solution failed");
		else if (!bad)
			bad = compare(&c, job, t, answer);
	}
	if (!bad && tensor_passed(job, answer))
		bad = measure(&c, job, answer);
	release(&c);
	if (bad) {
		json_decref(answer);
		return bad;
	}
	return answer;
}

int main(int argc, char **argv)
{
	struct solution s = { 0 };
	bool failed;
	json_t *answer;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int answers;

	opt_parse(argc, argv, &tool, options);
	/* answers have a descriptor of their own: solutions print what they like */
	answers = dup(STDOUT_FILENO);
	if (answers < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		die(EX_AGAIN, "cannot keep standard output: %s", strerror(errno));
	/* evalwl lets a worker see one GPU */
	if (evaldev_load(&dev, libs, device, &err) || dev.open(0))
		die(EX_REFUSED, "device %s: %s", device, err.len ? err.buf : dev.error());
	if (tensor_answer(answers, json_loads(dev.describe(), 0, NULL)))
		return EX_AGAIN;
	while ((n = getline(&line, &size, stdin)) > 0) {
		json_t *job = json_parse(line, (size_t)n, "the job", &err);

		if (!job)
			die(EX_REFUSED, "%s", err.buf);
		strbuf_reset(&err);
		answer = evaluate(&s, job);
		json_object_set(answer, "id", json_object_get(job, "id"));
		json_decref(job);
		/* an error of the device stays: another process has to go on */
		failed = !strcmp(json_get_str(answer, "status"), "RUNTIME_ERROR");
		if (tensor_answer(answers, answer) || failed)
			break;
	}
	free(line);
	return 0;
}
