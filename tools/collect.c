/*
 * collect - one session: a serving engine from its start to workload files.
 *
 * Locks as many GPUs as the session's TP, starts the server, waits for its
 * health, sends loads until every definition has enough distinct candidates,
 * keeps the dumps small while they come (lib/dumpslim.h), and leaves the rest to
 * dumpwl. Whatever happens to it, the server does not outlive it.
 */
#include "lib/die.h"
#include "lib/gpulock.h"
#include "lib/load.h"
#include "lib/numlist.h"
#include "lib/opt.h"
#include "lib/outfile.h"
#include "lib/servlog.h"
#include "lib/serving.h"
#include "lib/session.h"

#include <curl/curl.h>
#include <signal.h>

static const char *plan_file, *session_name, *dataset, *dir, *model, *config;
static const char *server = "python3 -m sglang.launch_server", *gpu_text;
static const char *lock_dir = "/tmp", *lengths_file, *batches = "8,32,64,128";
static const char *inputs = "1024,8192", *kernels_dir = "kernels", *out_dir;
static long budget_gb = 50, enough = 80, output = 1024, wait_s = 3600;
static long health_s = 1800, load_s = 600, tokens = 65536;
static bool trace_only;

static const struct tool tool = {
	"--plan=FILE --session=NAME --dataset=DIR --dir=DIR --model=PATH",
	"Drive a serving engine and make workloads of what it calls.",
	"sessions.json of plan-sessions; DATASET/definitions; the model's\n"
	"        folder or Hub id; /dev/nvidiaN",
	"DIR/session.json, DIR/server.log, DIR/collection.log, DIR/dumps,\n"
	"        DIR/trace; DATASET/workloads and blobs, through dumpwl"
};

static const struct option options[] = {
	OPT_STR('p', "plan", &plan_file, "FILE", "sessions.json"),
	OPT_STR('s', "session", &session_name, "NAME", "of the plan"),
	OPT_STR('d', "dataset", &dataset, "DIR", "clone of flashinfer-trace"),
	OPT_STR(0, "to", &out_dir, "DIR", "workloads go there [the dataset]"),
	OPT_STR(0, "dir", &dir, "DIR", "the session's own folder"),
	OPT_STR('m', "model", &model, "PATH", "the server's --model-path"),
	OPT_STR('c', "config", &config, "FILE",
		"its config.json: vocabulary, longest context"),
	OPT_STR('k', "kernels", &kernels_dir, "DIR", "the catalogue [kernels]"),
	OPT_STR(0, "server", &server, "COMMAND",
		"words; model, port and the session's arguments are added\n"
		"[python3 -m sglang.launch_server]"),
	OPT_STR(0, "gpus", &gpu_text, "N,N", "to choose from [all]"),
	OPT_STR(0, "locks", &lock_dir, "DIR", "of the GPUs' locks [/tmp]"),
	OPT_INT(0, "wait", &wait_s, "SECONDS", "for GPUs [3600]"),
	OPT_INT(0, "health", &health_s, "SECONDS", "for the server [1800]"),
	OPT_INT(0, "load-time", &load_s, "SECONDS", "for one load [600]"),
	OPT_INT(0, "budget", &budget_gb, "GB", "of disk for dumps [50]"),
	OPT_INT(0, "enough", &enough, "N",
		"distinct candidates of a definition [80]"),
	OPT_STR(0, "batches", &batches, "N,N", "requests at a time"),
	OPT_STR(0, "inputs", &inputs, "N,N", "longest prompts, tokens"),
	OPT_INT(0, "output", &output, "N", "tokens of an answer [1024]"),
	OPT_STR(0, "lengths", &lengths_file, "FILE",
		"real lengths, INPUT OUTPUT a line, instead"),
	OPT_INT(0, "tokens", &tokens, "N", "slots of the KV cache [65536]"),
	OPT_BOOL(0, "trace", &trace_only,
		 "the short pass of phase 2: definitions, no dumps"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT;
static json_t *session, *report, *attempts;
static struct dumpslim slim;
static FILE *journal;
static json_t *lower_tp;	/* where this one has no memory */
static volatile sig_atomic_t stopped;


static void on_stop(int sig)
{
	stopped = sig;
}

static char *in_dir(const char *name)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "%s/%s", dir, name);
	return strbuf_detach(&sb);
}

static void note(const char *line)
{
	fprintf(journal, "%s\n", line);
	fflush(journal);
}

/* What was begun ends here, too; session.json tells the rest of make. */
static void finish(const char *status, const char *reason, int code) NORETURN;
static void finish(const char *status, const char *reason, int code)
{
	char *path = in_dir("session.json");
	struct strbuf no = STRBUF_INIT;
	json_t *o, *defs = json_object_get(report, "definitions"), *v;
	size_t i;

	/* before a dump was seen: what it was for */
	defs = defs ? json_incref(defs) : json_object();
	if (!json_object_size(defs))
		json_array_foreach(json_object_get(session, "definitions"),
				   i, v)
			json_object_set_new(defs, json_string_value(v),
					    json_object());

	o = json_pack("{s:s, s:s, s:s?, s:O?, s:O, s:I, s:I, s:o}", "name",
		      session_name, "status", status, "reason", reason,
		      "lower_tp", lower_tp, "attempts", attempts, "calls",
		      (json_int_t)slim.calls, "freed_mib", (json_int_t)(slim.freed >> 20),
		      "definitions", defs);
	if (json_save(o, path, &no))
		die(EX_AGAIN, "session %s: %s%s%s", session_name, reason ?
		    reason : "", reason ? "; " : "", no.buf);
	note(reason ? reason : status);
	if (code)
		die(code, "session %s: %s", session_name,
		    reason ? reason : status);
	exit(done());
}

/* ---- dumpwl: counting while they come, writing at the end ---- */

static void run_dumpwl(bool write)
{
	char *dumps = in_dir("dumps");
	struct session_dumpwl d = { .kernels = kernels_dir,
		.dataset = dataset, .to = out_dir, .dumps = dumps,
		.definitions = json_object_get(session, "definitions"),
		.write = write };
	json_t *got;
	int code;

	strbuf_reset(&err);
	got = session_dumpwl(&d, &code, &err);
	free(dumps);
	if (got) {
		json_decref(report);
		report = got;
	} else if (write) {
		finish("failed", err.buf, code);
	}
}

static json_int_t of(const json_t *definition, const char *key)
{
	return json_integer_value(json_object_get(definition, key));
}

/*
 * Whether each definition that this server calls at all has its share of
 * candidates from this load, or enough of all.
 */
static bool is_served(bool first, size_t loads)
{
	static json_t *before;
	json_int_t more = (enough + (long)loads - 1) / (long)loads, had, has;
	size_t got = 0, all = 0;
	bool any = false, yes = true;
	const char *name, *least = "none";
	json_int_t fewest = enough;
	json_t *defs, *d;
	char *line;

	run_dumpwl(false);
	defs = json_object_get(report, "definitions");
	if (first) {
		json_decref(before);
		before = json_incref(defs);
	}
	json_object_foreach(defs, name, d) {
		had = of(json_object_get(before, name), "distinct");
		has = of(d, "distinct");
		got += (size_t)(has < enough ? has : enough);
		all += (size_t)enough;
		if (!of(d, "accepted"))
			continue;
		any = true;
		if (has < fewest) {
			fewest = has;
			least = name;
		}
		yes &= has >= enough || has >= had + more;
	}
	line = strbuf_text("%s: %zu calls, %.1f GiB written, %.1f on disk;"
			   " fewest candidates: %s (%lld); candidates",
			   session_name, slim.calls, (double)(slim.freed +
			   slim.kept + slim.held) / (1 << 30), (double)
			   (slim.kept + slim.held) / (1 << 30), least,
			   (long long)fewest);
	progress(line, got, all + 1);
	free(line);
	return any && yes;
}

/* ---- the server ---- */

/* Fewer requests, a smaller share of the memory; then the end of this TP. */
static void serve(struct serving *s)
{
	const struct {
		int most;
		double memory;
		long slots;
	} ladder[] = {
		{ 1 << 20, 0, tokens }, { 16, 0, tokens },
		{ 16, 0.6, tokens / 2 }, { 8, 0.4, tokens / 4 },
	};
	json_int_t tp = of(session, "tp");
	struct strbuf why = STRBUF_INIT;
	enum served o;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ladder); i++) {
		s->most = ladder[i].most;
		s->e.memory = ladder[i].memory;
		s->e.slots = ladder[i].slots;
		strbuf_reset(&why);
		o = serving_run(s, &why);
		json_array_append_new(attempts, json_pack("{s:i, s:f, s:I,"
			" s:s}", "most_requests", s->most, "mem_fraction",
			s->e.memory, "max_total_tokens",
			(json_int_t)s->e.slots, "ended", o == SERVED ?
			"served" : why.buf));
		if (o == SERVED)
			return;
		note(why.buf);
		if (o != NO_MEMORY && s->started && !trace_only)
			run_dumpwl(true);	/* what came is kept */
		if (o != NO_MEMORY)
			finish("failed", why.buf, o == FAILED ? EX_REFUSED :
			       EX_AGAIN);
		if (!i && !s->started)
			i++;	/* requests are not what it lacks */
		warn("out of memory, trying again with less: %s", why.buf);
	}
	if (tp > 1) {
		/* definitions carry heads/TP: another plan has to be made */
		lower_tp = json_integer(tp / 2);
		strbuf_addf(&why, "; also with the least memory: TP %lld is"
			    " next", (long long)(tp / 2));
	}
	finish("failed", why.buf, EX_REFUSED);
}

/* ---- main ---- */

static void load_session(void)
{
	json_t *absent = json_array(), *plan, *v;
	size_t i;

	/* the pass of phase 2 comes before there are definitions */
	session = session_load(plan_file, session_name, trace_only ? NULL :
			       dataset, &plan, absent, &err);
	json_array_foreach(absent, i, v)
		warn("%s has no definition %s: left out (a dataset of"
		     " SOURCE=snapshot has only ours)", dataset,
		     json_string_value(v));
	if (!session)
		die(EX_REFUSED, "%s", err.buf);
	json_decref(absent);
}

static int size_of(const json_t *config_text, const char *key, int otherwise)
{
	json_int_t v = of(config_text, key);

	return v > 0 && v < 1 << 30 ? (int)v : otherwise;
}

static void fill(struct serving *s)
{
	json_t *c = config ? json_load_path(config, JSON_MAX_CONFIG, &err) :
		json_object(), *t;

	if (!c)
		die(EX_REFUSED, "%s", err.buf);
	t = json_object_get(c, "text_config");
	t = json_is_object(t) ? t : c;
	s->vocab = size_of(t, "vocab_size", 1000);
	s->context = size_of(t, "max_position_embeddings", 0);
	s->nbatches = number_list(batches, 1, 4096, s->batches, SERVING_LOADS);
	s->ninputs = number_list(inputs, 1, 1 << 20, s->inputs, SERVING_LOADS);
	if (s->nbatches < 1 || s->ninputs < 1)
		opt_usage("--batches and --inputs are at most %d numbers like"
			  " 8,32", SERVING_LOADS);
	if (lengths_file && load_lengths(lengths_file, &s->lengths,
					 &s->nlengths, &err))
		die(EX_REFUSED, "%s", err.buf);
	json_decref(c);
}

/* What came out, and what did not and why. */
static void judge(void)
{
	json_t *defs = json_object_get(report, "definitions"), *d;
	json_t *functions = json_object_get(report, "functions");
	struct strbuf none = STRBUF_INIT, names = STRBUF_INIT;
	const char *name;
	char *log;

	json_object_foreach(functions, name, d)
		strbuf_addf(&names, "%s%s", names.len ? ", " : "", name);
	json_object_foreach(defs, name, d)
		if (!of(d, "entries"))
			strbuf_addf(&none, "%s%s", none.len ? ", " : "", name);
	if (!json_object_size(functions)) {
		log = in_dir("server.log");
		servlog_apis(log, &names);
		strbuf_reset(&none);
		strbuf_addf(&none, "FLASHINFER_DUMP_INCLUDE=%s matched"
			    " nothing; FlashInfer was called as: %s",
			    json_get_str(json_object_get(session, "env"),
					 "FLASHINFER_DUMP_INCLUDE"),
			    names.len ? names.buf : "nothing at all");
		free(log);
		finish("failed", none.buf, EX_REFUSED);
	}
	if (none.len) {
		strbuf_addf(&none, " got no workload; recorded were: %s",
			    names.buf);
		warn("%s", none.buf);
		note(none.buf);
	}
	strbuf_release(&none);
	strbuf_release(&names);
	finish("done", NULL, 0);
}

int main(int argc, char **argv)
{
	int first = opt_parse(argc, argv, &tool, options), gpus[GPU_MAX], n;
	struct sigaction sa = { .sa_handler = on_stop };
	struct gpu_locks locks;
	struct serving s = { .slim = &slim, .stop = &stopped, .note = note,
			     .enough = is_served };
	char *path;

	if (!plan_file || !session_name || !dataset || !dir || !model ||
	    first != argc)
		opt_usage("--plan, --session, --dataset, --dir and --model are"
			  " needed");
	if (enough < 1 || output < 1 || tokens < 1024 || budget_gb < 1)
		opt_usage("--enough, --output and --budget are at least 1,"
			  " --tokens 1024");
	load_session();
	s.e = (struct engine){ .server = server, .model = model, .dir = dir,
		.session = session, .trace_only = trace_only };
	s.budget = (uint64_t)budget_gb << 30;
	s.health_s = (int)health_s;
	s.load_s = (int)load_s;
	s.output = (int)output;
	fill(&s);
	attempts = json_array();
	n = gpu_list(gpu_text, gpus, &err);
	if (n < 0)
		die(EX_USAGE, "%s", err.buf);
	path = in_dir("lock");
	if (outfile_lock(path, 0, &err) < 0)
		die(EX_AGAIN, "%s", err.buf);
	free(path);
	path = in_dir("collection.log");
	journal = fopen(path, "a");
	if (!journal)
		die(EX_AGAIN, "unable to write %s: %s", path, strerror(errno));
	free(path);
	if (gpu_lock(lock_dir, gpus, (size_t)n, (size_t)of(session, "tp"),
		     (int)wait_s, &locks, &err))
		die(errno == EWOULDBLOCK ? EX_AGAIN : EX_REFUSED, "session %s:"
		    " %s", session_name, err.buf);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	path = in_dir("dumps");
	if (dumpslim_open(&slim, path, &err))
		die(EX_AGAIN, "%s", err.buf);
	free(path);
	path = in_dir("trace/");
	if (outfile_mkdirs(path, &err))
		die(EX_AGAIN, "%s", err.buf);
	free(path);
	s.e.gpus = locks.gpu;
	s.e.ngpus = locks.n;
	serve(&s);
	dumpslim_step(&slim, true, &err);
	if (trace_only)
		finish("done", NULL, 0);
	run_dumpwl(true);
	judge();
}
