/*
 * evalwl - evaluate solutions of a definition on its workloads, on a GPU.
 *
 * The reference's outputs are computed once by PyTorch (scripts/evalpy) and
 * kept by content, as many as --keep lets; native solutions run in evalrun, Python ones in
 * evalpy, each in a process that may crash, hang or run out of memory at its
 * own expense. What a killed run had evaluated is taken up by the next.
 */
#include "lib/die.h"
#include "lib/evalcache.h"
#include "lib/evaljob.h"
#include "lib/evalplan.h"
#include "lib/evalwork.h"
#include "lib/gpulock.h"
#include "lib/opt.h"
#include "lib/outfile.h"
#include "lib/proc.h"
#include "lib/safetensors.h"

static const char *dataset, *kernels_dir = "kernels", *workloads_dir, *only;
static const char *cache = "tmp/eval", *libs = "tmp/gpu/lib", *out;
static const char *device = "cuda", *devices, *python = "python3", *gpus_arg;
static const char *locks = "/tmp", *atol_arg, *rtol_arg, *ratio_arg;
static const char *traces_dir;
static long trials = 3, warmup = 10, iterations = 50, budget_ms = 2000;
static long seconds = 300, limit, wait_s = 600, keep_gb = 50;
static bool graph, planned, events, again, no_time;

static const struct tool tool = {
	"--dataset=DIR [-o REPORT] DEFINITION...",
	"Evaluate solutions on workloads: correct against the reference, and how fast.",
	"DATASET/{definitions,workloads,blob,solutions}, solutions of --lib",
	"DATASET/traces/AUTHOR/OP/NAME.jsonl and a report"
};

static const struct option options[] = {
	OPT_STR('d', "dataset", &dataset, "DIR", "a flashinfer-trace tree"),
	OPT_STR('k', "kernels", &kernels_dir, "DIR", "the catalogue [kernels]"),
	OPT_STR('w', "workloads", &workloads_dir, "DIR",
		"a tree with workloads/ and blob/ [the dataset]"),
	OPT_STR('t', "traces", &traces_dir, "DIR", "write traces there [DATASET/traces]"),
	OPT_STR('s', "solutions", &only, "WORDS",
		"only solutions whose name or author has one of them (a,b)"),
	OPT_STR('l', "lib", &libs, "DIR", "built solutions, NAME.so [tmp/gpu/lib]"),
	OPT_STR('c', "cache", &cache, "DIR", "reference outputs, journals [tmp/eval]"),
	OPT_INT(0, "keep", &keep_gb, "GB",
		"of reference outputs, those used last, for later runs [50]"),
	OPT_STR(0, "device", &device, "WHICH", "cuda or cpu [cuda]"),
	OPT_STR(0, "devices", &devices, "DIR",
		"libevalcuda.so, libevalcpu.so [eval/ beside the tool's folder]"),
	OPT_STR(0, "python", &python, "FILE", "a Python with PyTorch [python3]"),
	OPT_STR(0, "gpus", &gpus_arg, "LIST", "take one of these [all]"),
	OPT_STR(0, "locks", &locks, "DIR", "of the GPU locks [/tmp]"),
	OPT_INT(0, "wait", &wait_s, "SECONDS", "for a GPU [600]"),
	OPT_INT(0, "trials", &trials, "N", "sets of inputs [3]"),
	OPT_INT(0, "warmup", &warmup, "N", "calls before timing [10]"),
	OPT_INT(0, "iterations", &iterations, "N", "timed calls [50]"),
	OPT_INT(0, "budget", &budget_ms, "MS", "of timed calls [2000]"),
	OPT_INT(0, "timeout", &seconds, "SECONDS", "for one workload [300]"),
	OPT_INT(0, "limit", &limit, "N", "workloads a definition [all]"),
	OPT_STR(0, "atol", &atol_arg, "X", "absolute tolerance [0.01, or the op's]"),
	OPT_STR(0, "rtol", &rtol_arg, "X", "relative tolerance [0.01, or the op's]"),
	OPT_STR(0, "ratio", &ratio_arg, "X", "share of elements that have to match"),
	OPT_BOOL(0, "graph", &graph, "time the replay of a CUDA graph"),
	OPT_BOOL(0, "planned", &planned, "time FlashInfer's wrappers without their plan()"),
	OPT_BOOL(0, "events", &events, "time by CUDA events, not by CUPTI"),
	OPT_BOOL(0, "no-time", &no_time, "correctness only (with a new --traces)"),
	OPT_BOOL(0, "again", &again, "evaluate again what has a trace"),
	OPT_STR('o', "output", &out, "FILE", "a report, - is stdout"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT;
static struct eval_worker torch = { .pending = STRBUF_INIT };
static struct eval_worker native = { .pending = STRBUF_INIT };
static struct eval_cache refs;
static json_t *report;
static size_t at, total, evaluated, kept, not_built;

/* ---- one workload ---- */

static json_t *timing(long n, long ms, bool reference)
{
	return no_time ? json_null() : json_pack("{s:I, s:I, s:I, s:b, s:b, s:b}",
		"warmup", (json_int_t)warmup, "iterations", (json_int_t)n,
		"max_ms", (json_int_t)ms, "graph", graph && !reference, "events", events,
		"planned", planned);
}

static void start(struct eval_worker *w)
{
	if (eval_worker_start(w, 120, &err))
		die(EX_AGAIN, "%s", err.buf);
}

static bool is_unwritable(const json_t *answer)
{
	return !strcmp(json_get_str(answer, "status"), "UNWRITABLE");
}

/*
 * A disk without room is nobody's solution's fault: kept outputs give way and the job is asked again, or it is over
 * before a trace blames one.
 */
static json_t *ask(struct eval_worker *worker, const json_t *job)
{
	json_t *answer = eval_worker_ask(worker, job, (int)seconds);
	const char *log;

	if (is_unwritable(answer) && json_is_true(json_object_get(answer, "full")) &&
	    eval_cache_trim(&refs, 0)) {
		json_decref(answer);
		answer = eval_worker_ask(worker, job, (int)seconds);
	}
	log = json_get_str(answer, "log");
	if (is_unwritable(answer))
		die(EX_AGAIN, "%s (-c names another folder)", log ? log : "the cache cannot be written");
	return answer;
}

/* By whatever runs; PyTorch, which is slow to start, only if nothing here does without. */
static const char *device_name(const struct eval_work *w)
{
	struct eval_worker *by = torch.pid ? &torch : &native;
	bool any = false;
	size_t i;

	for (i = 0; i < w->nsolutions; i++)
		any |= w->solutions[i].so != NULL;
	if (!torch.pid && !native.pid && !any)
		by = &torch;
	start(by);
	return json_get_str(by->hello, "device") ? json_get_str(by->hello, "device") : "";
}

/* Whether a file of the cache is whole: one that something cut short or wrote over is made anew. */
static bool is_whole(const char *path, const json_t *job, bool sampling)
{
	static const char *const drawn[] = { "requests", "expected", "mask" };
	const json_t *outputs = json_object_get(job, "outputs");
	size_t n = sampling ? ARRAY_SIZE(drawn) : json_array_size(outputs), i;
	struct strbuf why = STRBUF_INIT;
	struct safetensors st;
	struct st_tensor t;
	bool whole;

	if (access(path, F_OK))
		return false;
	whole = !st_open(&st, path, &why);
	if (whole) {
		for (i = 0; i < n && whole; i++)
			whole = !st_find(&st, sampling ? drawn[i] :
					 json_get_str(json_array_get(outputs, i), "name"), &t, &why);
		st_close(&st);
	}
	if (!whole)
		warn("%s (it is made anew)", why.buf);
	strbuf_release(&why);
	return whole;
}

/*
 * The files that are missing, made and held: the worker holds those it made until its next job. Another evaluation
 * that makes the same one takes its name over, and may let it go before it is held here: what went is asked for again.
 */
static json_t *make_files(const json_t *what, json_t *missing)
{
	const char *gone = NULL;
	int tries;

	for (tries = 0; tries < 8; tries++) {
		json_t *answer = ask(&torch, what), *v;
		size_t i;

		if (strcmp(json_get_str(answer, "status"), "PASSED"))
			return answer;
		gone = NULL;
		json_array_foreach(missing, i, v) {
			if (json_is_string(v) && !eval_cache_add(&refs, json_string_value(v)))
				gone = json_string_value(v);
			else
				json_array_set_new(missing, i, json_null());
		}
		if (!gone)
			return answer;
		json_decref(answer);
	}
	die(EX_AGAIN, "%s: it was just made, and is gone", gone);
}

/* The reference's outputs in files, job["expect"]; its latency, or -1. */
static double reference(const struct eval_work *w, json_t *job, const char *uuid)
{
	bool sampling = !strcmp(json_get_str(job, "kind"), "sampling");
	json_t *expect = json_array(), *missing = json_array(), *what, *answer, *info;
	char hex[EVAL_TRIALS][SHA256_HEX], *path, *side;
	const char *who;
	bool any = false;
	double ms = -1;
	int sets = sampling ? 1 : (int)trials, t;

	who = device_name(w);
	if (eval_keys(hex, w->def, job, who, sets, &err))
		die(EX_REFUSED, "%s: %s", w->name, err.buf);
	side = strbuf_text("%s/ref/%.2s/%s.json", cache, hex[0], hex[0]);
	for (t = 0; t < sets; t++) {
		bool there;

		path = strbuf_text("%s/ref/%.2s/%s.safetensors", cache, hex[t],
				   hex[t]);
		json_array_append_new(expect, json_string(path));
		there = eval_cache_hold(&refs, path) && is_whole(path, job, sampling);
		if (!there && outfile_mkdirs(path, &err))
			die(EX_AGAIN, "%s", err.buf);
		json_array_append_new(missing, there ? json_null() :
				      json_string(path));
		any |= !there;
		free(path);
	}
	json_object_set_new(job, "expect", expect);
	info = json_load_path(side, 1 << 16, &err);
	strbuf_reset(&err);
	if (!any && (info || no_time)) {
		ms = info ? json_number_value(json_object_get(info, "latency_ms")) : 0;
		goto done;
	}
	start(&torch);
	what = json_deep_copy(job);
	json_object_set(what, "expect", missing);
	json_object_set(what, "reference", json_object_get(w->def, "reference"));
	json_object_set_new(what, "timing", timing(iterations < 10 ? iterations : 10,
						   budget_ms / 4, true));
	answer = make_files(what, missing);
	if (!strcmp(json_get_str(answer, "status"), "PASSED")) {
		ms = json_number_value(json_object_get(answer, "latency_ms"));
		eval_cache_fit(&refs);
		json_decref(info);
		info = json_pack("{s:f}", "latency_ms", ms);
		if (!no_time && json_save(info, side, &err))
			die(EX_AGAIN, "%s", err.buf);
	} else {
		const char *log = json_get_str(answer, "log");

		warn("%s: the reference fails on workload %s (%s): %s", w->name,
		     uuid, json_get_str(answer, "status"), log ? log : "");
	}
	json_decref(answer);
	json_decref(what);
done:
	json_decref(info);
	json_decref(missing);
	free(side);
	return ms;
}

static bool is_done(const struct eval_solution *s, const char *uuid)
{
	const json_t *line = eval_traces_get(s->traces, uuid, s->name);
	const char *digest = line ? eval_trace_digest(line) : NULL;

	return line && !again && (!digest || !strcmp(digest, s->digest));
}

/* Those that will be asked, side by side: PyTorch takes seconds to start. */
static void launch(const struct eval_work *works, size_t n)
{
	bool any = false, left = false;
	json_t *v;
	size_t i, k, j;

	for (i = 0; i < n; i++)
		for (k = 0; k < works[i].nsolutions; k++)
			json_array_foreach(works[i].workloads, j, v) {
				const struct eval_solution *s = &works[i].solutions[k];
				const char *uuid = json_get_str(v, "uuid");

				if (uuid && is_done(s, uuid))
					continue;
				left = true;
				any |= s->so != NULL;
				break;
			}
	/* references are made anew in an empty cache; else it is not known yet */
	if ((any && eval_worker_launch(&native, &err)) ||
	    (left && access(refs.dir, F_OK) && eval_worker_launch(&torch, &err)))
		die(EX_AGAIN, "%s", err.buf);
}

static json_t *ask_solution(struct eval_solution *s, json_t *job, const json_t **who)
{
	struct eval_worker *worker = s->so ? &native : &torch;
	const json_t *spec = json_object_get(s->json, "spec");
	json_t *what = json_copy(job), *answer;

	json_object_set_new(what, "timing", timing(iterations, budget_ms, false));
	json_object_set_new(what, "solution", json_string(s->so ? s->so : s->digest));
	if (!s->so) {
		json_object_set(what, "sources", json_object_get(s->json, "sources"));
		json_object_set(what, "entry_point", json_object_get(spec, "entry_point"));
		json_object_set_new(what, "destination_passing", json_boolean(
			!json_is_false(json_object_get(spec,
					"destination_passing_style"))));
	}
	start(worker);
	*who = worker->hello;
	answer = ask(worker, what);
	json_decref(what);
	return answer;
}

static void count(const struct eval_work *w, const struct eval_solution *s, const char *word)
{
	json_t *d = json_object_get(report, w->name), *j, *n;

	if (!d) {
		d = json_object();
		json_object_set_new(report, w->name, d);
	}
	j = json_object_get(d, s->name);
	if (!j) {
		j = json_object();
		json_object_set_new(d, s->name, j);
	}
	n = json_object_get(j, word);
	json_object_set_new(j, word, json_integer(json_integer_value(n) + 1));
}

static void evaluate(struct eval_work *w, const json_t *workload)
{
	struct eval_rules rules = { (int)trials, atol_arg ? atof(atol_arg) : -1,
		rtol_arg ? atof(rtol_arg) : -1, ratio_arg ? atof(ratio_arg) : -1 };
	const char *uuid = json_get_str(workload, "uuid");
	json_t *job = NULL, *answer;
	const json_t *who;
	double ms = -1;
	size_t i;

	if (!uuid)
		die(EX_REFUSED, "%s: a workload without uuid", w->name);
	for (i = 0; i < w->nsolutions; i++, at++) {
		struct eval_solution *s = &w->solutions[i];

		progress("evaluations", at, total);
		if (is_done(s, uuid)) {
			count(w, s, "kept");
			kept++;
			continue;
		}
		if (!job) {
			job = eval_job(w->def, w->eval, workload, workloads_dir,
				       &rules, &err);
			if (!job) {
				warn("%s: workload %s: %s", w->name, uuid, err.buf);
				strbuf_reset(&err);
				break;
			}
			ms = reference(w, job, uuid);
		}
		if (ms < 0)
			break;
		answer = ask_solution(s, job, &who);
		count(w, s, json_get_str(answer, "status"));
		if (strcmp(json_get_str(answer, "status"), "PASSED")) {
			const char *log = json_get_str(answer, "log");
			size_t n = log ? strcspn(log, "\n") : 0;	/* the trace has all of it */

			warn("%s: %s: workload %s: %s: %.*s", w->name, s->name, uuid,
			     json_get_str(answer, "status"), n < 400 ? (int)n : 400, log ? log : "");
		}
		if (eval_traces_add(s->traces, eval_trace(w->name, workload,
				s->name, s->digest, answer, who, ms), &err))
			die(EX_AGAIN, "%s", err.buf);
		json_decref(answer);
		evaluated++;
	}
	at += w->nsolutions - i;
	for (; i < w->nsolutions; i++)
		count(w, &w->solutions[i], "skipped");
	eval_cache_release(&refs);
	json_decref(job);
}

static char **worker_argv(const char *first, const char *second)
{
	char **v = xcalloc(8, sizeof *v), **p = v;

	if (first)
		*p++ = xstrdup(first);
	*p++ = xstrdup(second);
	if (first)
		*p++ = strbuf_text("--modules=%s/modules", cache);
	*p++ = strbuf_text("--device=%s", device);
	*p++ = strbuf_text("--devices=%s", devices);
	return v;
}

/* Programs and shared objects lie where the build put them. */
static void set_up_workers(void)
{
	if (!devices)
		devices = proc_beside("../eval");
	native.argv = worker_argv(NULL, proc_beside("evalrun"));
	native.log = strbuf_text("%s/evalrun.log", cache);
	torch.argv = worker_argv(python, getenv("ONBOARD_EVALPY") ?
			getenv("ONBOARD_EVALPY") : proc_beside("../../scripts/evalpy"));
	torch.log = strbuf_text("%s/evalpy.log", cache);
	if (outfile_mkdirs(native.log, &err))
		die(EX_AGAIN, "%s", err.buf);
}

/* One GPU for as long as we run; the workers see no other. */
static void take_gpu(void)
{
	static struct gpu_locks held;
	int gpus[GPU_MAX], n;
	char number[16];

	if (strcmp(device, "cuda"))
		return;
	n = gpu_list(gpus_arg, gpus, &err);
	if (n <= 0)
		die(n ? EX_REFUSED : EX_AGAIN, "%s", n ? err.buf : "there is no GPU here"
		    " (--device=cpu tries a solution without one)");
	if (gpu_lock(locks, gpus, (size_t)n, 1, (int)wait_s, &held, &err))
		die(EX_AGAIN, "%s", err.buf);
	snprintf(number, sizeof number, "%d", held.gpu[0]);
	setenv("CUDA_VISIBLE_DEVICES", number, 1);
	setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 1);
}

int main(int argc, char **argv)
{
	int first = opt_parse(argc, argv, &tool, options), i;
	struct eval_plan plan;
	struct eval_work *works;
	size_t n = (size_t)(argc - first), k, j;
	json_t *v;

	if (!dataset || !n)
		opt_usage("a --dataset and at least one DEFINITION are needed");
	if (trials < 1 || trials > EVAL_TRIALS || iterations < 1 || seconds < 1)
		opt_usage("--trials (1..64), --iterations and --timeout are at least 1");
	if (keep_gb < 0 || keep_gb > 1 << 20)
		opt_usage("--keep is of gigabytes");
	if (strcmp(device, "cuda") && strcmp(device, "cpu"))
		opt_usage("--device is cuda or cpu");
	if (!workloads_dir)
		workloads_dir = dataset;
	if (!traces_dir)
		traces_dir = strbuf_text("%s/traces", dataset);
	plan = (struct eval_plan){ dataset, kernels_dir, workloads_dir, traces_dir,
		cache, libs, only, (size_t)limit };
	refs.dir = strbuf_text("%s/ref", cache);
	refs.max = (uint64_t)keep_gb * 1000000000;
	report = json_object();
	works = xcalloc(n + 1, sizeof *works);
	for (i = 0; first + i < argc; i++) {
		struct eval_work *w = &works[i];

		if (!kernel_name_ok(argv[first + i]))
			opt_usage("'%s' is no definition's name", argv[first + i]);
		if (eval_work_open(w, &plan, argv[first + i], &err))
			die(EX_REFUSED, "%s", err.buf);
		json_array_foreach(w->missing, j, v) {
			warn("%s", json_string_value(v));
			not_built++;
		}
		if (!w->nsolutions)
			warn("%s: no solution to evaluate", w->name);
		if (!json_array_size(w->workloads))
			warn("%s: no workloads in %s", w->name, workloads_dir);
		total += w->nsolutions * json_array_size(w->workloads);
	}
	set_up_workers();
	take_gpu();
	launch(works, n);
	for (k = 0; k < n; k++) {
		json_array_foreach(works[k].workloads, j, v)
			evaluate(&works[k], v);
		if (eval_work_save(&works[k], &err))
			die(EX_AGAIN, "%s", err.buf);
	}
	progress("evaluations", total, total);
	eval_worker_stop(&native);
	eval_worker_stop(&torch);
	if (out && json_save(report, out, &err))
		die(EX_AGAIN, "%s", err.buf);
	warn("%zu evaluated, %zu had a trace, %zu not built", evaluated, kept,
	     not_built);
	return done();
}
