/*
 * dumpwl - workloads out of recorded calls.
 *
 * Every call of an API that a definition names is tried against it, with the
 * plan() that its wrapper was given before; what does not fit is counted
 * with the reason. Among all that fit, those that cover the range of every
 * var axis are chosen, and a workload file is only ever added to, or with
 * --replace exchanged for one that is no poorer.
 */
#include "lib/die.h"
#include "lib/dumpmap.h"
#include "lib/dumpplan.h"
#include "lib/dumpspool.h"
#include "lib/kernels.h"
#include "lib/opt.h"
#include "lib/outfile.h"
#include "lib/wlselect.h"
#include "lib/wltarget.h"

#include <fcntl.h>
#include <sys/stat.h>

static const char *kernels_dir = "kernels", *dataset, *json_out, *op_only;
static const char *out_dir;
static struct opt_list names;
static long max_new = 20;
static bool replace, report_only;

static const struct tool tool = {
	"--dataset=DIR [--definition=NAME]... [--op-type=OP] DUMPS...",
	"Make workloads of recorded FlashInfer calls (log level 10).",
	"DUMPS/*/{metadata.jsonl,inputs.safetensors}, or an archive of such\n"
	"        folders (.tar.zst); DATASET/definitions,\n"
	"        the catalogue's dump mappings",
	"DATASET/workloads/OP/NAME.jsonl and its blobs; with --json a report:\n"
	"        seen, accepted, refused by reason, selected, range of axes"
};

static const struct option options[] = {
	OPT_STR('k', "kernels", &kernels_dir, "DIR", "the catalogue [kernels]"),
	OPT_STR('d', "dataset", &dataset, "DIR", "clone of flashinfer-trace"),
	OPT_STR(0, "to", &out_dir, "DIR", "write there [the dataset]"),
	OPT_LIST('n', "definition", &names, "NAME", "these only"),
	OPT_STR(0, "op-type", &op_only, "OP", "those of this op_type only"),
	OPT_INT('m', "max-new-workloads", &max_new, "N",
		"of one definition [20]"),
	OPT_BOOL('r', "replace", &replace,
		 "exchange the file for what was found, if it is no poorer"),
	OPT_BOOL(0, "report-only", &report_only, "write no workloads"),
	OPT_STR('j', "json", &json_out, "FILE", "report, - is stdout"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT;

/* ---- what is looked for ---- */

static struct wl_target *targets;
static size_t ntargets;

static void load_target(const char *op, const char *file)
{
	struct strbuf path = STRBUF_INIT;
	struct wl_target t = { .refused = json_object() };

	strbuf_addf(&path, "%s/definitions/%s/%s", dataset, op, file);
	t.def = json_load_path(path.buf, 16 << 20, &err);
	t.name = json_get_str(t.def, "name");
	t.op = json_get_str(t.def, "op_type");
	if (!t.def || !t.name || !t.op || strcmp(t.op, op) ||
	    !kernel_name_ok(t.name) || !kernel_name_ok(t.op)) {
		warn("%s is left out: %s", path.buf, err.len ? err.buf :
		     "name or op_type is not its path");
		strbuf_reset(&err);
		return;
	}
	wl_target_fill(&t, kernels_dir);
	targets = xrealloc(targets, (ntargets + 1) * sizeof(*targets));
	targets[ntargets++] = t;
	strbuf_release(&path);
}

static bool is_wanted(const char *op, const char *file)
{
	size_t i, n = strlen(file) - 5;

	if (op_only && strcmp(op, op_only))
		return false;
	for (i = 0; i < names.n; i++)
		if (strlen(names.v[i]) == n && !strncmp(names.v[i], file, n))
			return true;
	return !names.n;
}

static void load_targets(void)
{
	struct strbuf path = STRBUF_INIT;
	struct dirent **ops, **files;
	int n, m, i, k;

	strbuf_addf(&path, "%s/definitions", dataset);
	n = scandir(path.buf, &ops, dir_visible, dir_by_name);
	for (i = 0; i < n; i++) {
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/definitions/%s", dataset,
			    ops[i]->d_name);
		m = scandir(path.buf, &files, dir_json, dir_by_name);
		for (k = 0; k < m; k++)
			if (is_wanted(ops[i]->d_name, files[k]->d_name))
				load_target(ops[i]->d_name, files[k]->d_name);
	}
	if (!ntargets)
		die(EX_REFUSED, "%s/definitions has none of the definitions"
		    " asked for", dataset);
	strbuf_release(&path);
}

/* ---- the calls of one folder ---- */

static struct dump_plans plans;	/* of the dump folder at hand */
static size_t dumps, used, fitted, unreadable;
static json_t *functions, *broken;	/* name -> count; reason -> count */

static void count(json_t *o, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(o, key));

	if (json_object_set_new(o, key, json_integer(n + 1)))
		json_object_set_new(o, "(no UTF-8)", json_integer(n + 1));
}

/* X.plan matters where X.run does. */
static bool is_plan(const char *function)
{
	size_t n = strlen(function), i;
	struct strbuf run = STRBUF_INIT;
	bool yes = false;

	if (n < 6 || strcmp(function + n - 5, ".plan"))
		return false;
	strbuf_add(&run, function, n - 4);
	strbuf_addstr(&run, "run");
	for (i = 0; i < ntargets && !yes; i++)
		yes = json_array_has(targets[i].calls, run.buf);
	strbuf_release(&run);
	return yes;
}

static bool is_called(const char *function)
{
	size_t i;

	for (i = 0; i < ntargets; i++)
		if (json_array_has(targets[i].calls, function))
			return true;
	return false;
}

/* By time; plans first within a millisecond, for they are looked up. */
static int by_time(const void *a, const void *b)
{
	const struct dump_call *x = a, *y = b;
	int c = strcmp(x->n.time, y->n.time);

	if (!c)
		c = (int)y->plan - (int)x->plan;
	if (!c && !strcmp(x->n.function, y->n.function))
		c = x->n.call < y->n.call ? -1 : x->n.call > y->n.call;
	return c ? c : strcmp(x->folder, y->folder);
}

static void take_plan(const struct dump_call *c)
{
	struct dump d;

	if (!dump_ahead_next(plans.ahead, &d, &err)) {
		dump_plans_add(&plans, c, &d);
		return;
	}
	unreadable++;
	count(broken, err.buf);
	strbuf_reset(&err);
}

static int try_plans(const struct wl_target *t, struct dump *d,
		     const struct dump_choice *ch, struct workload *w,
		     const struct dump_plan **which, struct strbuf *why)
{
	struct workload other;
	struct strbuf no = STRBUF_INIT;
	bool have = false;
	size_t i;

	*which = NULL;
	if (!ch->n)
		return dumpmap_try(&t->map, d, NULL, w, why);
	for (i = 0; i < ch->n; i++) {
		strbuf_reset(&no);
		if (dumpmap_try(&t->map, d, &ch->v[i]->d, have ? &other : w,
				&no)) {
			if (!why->len)
				strbuf_addstr(why, no.buf);
			continue;
		}
		if (have && strcmp(other.uuid, w->uuid)) {
			workload_release(&other);
			workload_release(w);
			strbuf_reset(why);
			strbuf_addstr(why, "two plans of its millisecond"
				      " fit, and nothing tells which came"
				      " first");
			strbuf_release(&no);
			return -1;
		}
		if (have)
			workload_release(&other);
		else
			*which = ch->v[i];
		have = true;
	}
	strbuf_release(&no);
	return have ? 0 : -1;
}

/* What cannot be used is refused for every definition that is called so. */
static void refuse(const char *function, const char *why)
{
	size_t i;

	for (i = 0; i < ntargets; i++)
		if (json_array_has(targets[i].calls, function))
			count(targets[i].refused, why);
}

static void see(const char *function)
{
	size_t i;

	used++;
	for (i = 0; i < ntargets; i++)
		targets[i].seen += json_array_has(targets[i].calls, function);
}

/* The call in ROOT/FOLDER, with the plans that it may have had. */
static void fit_call(const char *function, const char *folder,
		     struct dump *d, const struct dump_choice *ch,
		     const char *root)
{
	struct strbuf why = STRBUF_INIT, both = STRBUF_INIT;
	struct wl_target *fits[8];
	struct workload w[8];
	const struct dump_plan *p[8];
	size_t i, n = 0;

	for (i = 0; i < ntargets && n < ARRAY_SIZE(fits); i++) {
		if (!json_array_has(targets[i].calls, function))
			continue;
		strbuf_reset(&why);
		if (try_plans(&targets[i], d, ch, &w[n], &p[n], &why))
			count(targets[i].refused, why.buf);
		else
			fits[n++] = &targets[i];
	}
	for (i = 0; i < n; i++) {
		strbuf_reset(&both);
		if (n > 1) {
			strbuf_addf(&both, "it fits %s as well, and nothing"
				    " tells which it is", fits[!i]->name);
			count(fits[i]->refused, both.buf);
			workload_release(&w[i]);
		} else {
			fits[i]->accepted++;
			fitted++;
			wl_add(&fits[i]->found, &w[i], root, folder,
			       p[i] ? p[i]->call->folder : NULL);
		}
	}
	strbuf_release(&why);
	strbuf_release(&both);
}

static void cannot_read(const char *function)
{
	unreadable++;
	count(broken, err.buf);
	refuse(function, err.buf);
	strbuf_reset(&err);
}

/* false: it is of a CUDA graph, whose replays come when all plans are known. */
static bool take_call(const struct dump_call *c, const char *root)
{
	struct dump_choice ch = { .n = 0 };
	struct dump d;

	if (dump_ahead_next(plans.ahead, &d, &err)) {
		see(c->n.function);
		cannot_read(c->n.function);
		return true;
	}
	if (dump_in_graph(&d)) {
		dump_ahead_drop(plans.ahead, &d);
		return false;
	}
	see(c->n.function);
	if (strchr(c->n.function, '.'))
		dump_plans_of(&plans, c, dump_self(&d), &ch);
	fit_call(c->n.function, c->folder, &d, &ch, root);
	dump_ahead_drop(plans.ahead, &d);
	return true;
}

static void take_replay(const struct dump_call *c, const char *folder,
			const char *root)
{
	struct dump_choice ch = { .n = 0 };
	struct dump d;

	see(c->n.function);
	if (dump_open(&d, plans.dirfd, folder, &err)) {
		cannot_read(c->n.function);
		return;
	}
	if (strchr(c->n.function, '.') &&
	    dump_plans_replayed(&plans, c, dump_self(&d), folder, &ch, &err)) {
		refuse(c->n.function, err.buf);
		strbuf_reset(&err);
	} else {
		fit_call(c->n.function, folder, &d, &ch, root);
	}
	dump_close(&d);
}

/* The folder's own inputs are those of the last replay. */
static void take_replays(const struct dump_call *c, const char *root)
{
	size_t n, i;
	char **v = dump_replays(plans.dirfd, c->folder, &n);

	if (!n)
		take_replay(c, c->folder, root);
	for (i = 0; i < n; i++) {
		take_replay(c, v[i], root);
		free(v[i]);
	}
	free(v);
}

static void scan(const char *root)
{
	struct dirent **v = NULL;
	struct dump_call *calls;
	const struct dump_call **graph;
	const char **folders;
	int n, i;
	size_t k, m = 0, ngraph = 0;

	plans = (struct dump_plans){ .order = STRMAP_INIT };
	plans.dirfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	n = plans.dirfd < 0 ? -1 : scandir(root, &v, dir_visible, dir_by_name);
	if (n < 0)
		die(EX_REFUSED, "unable to read folder %s: %s", root,
		    strerror(errno));
	calls = xcalloc((size_t)n + 1, sizeof(*calls));
	for (i = 0; i < n; i++) {
		struct dump_call *c = &calls[m];

		if (!dump_name_parse(&c->n, v[i]->d_name))
			continue;
		dumps++;
		count(functions, c->n.function);
		c->folder = v[i]->d_name;
		c->plan = is_plan(c->n.function);
		if (c->plan || is_called(c->n.function))
			m++;
	}
	qsort(calls, m, sizeof(*calls), by_time);
	folders = xcalloc(m + 1, sizeof(*folders));
	graph = xcalloc(m + 1, sizeof(*graph));
	for (k = 0; k < m; k++)
		folders[k] = calls[k].folder;
	plans.ahead = dump_ahead_start(plans.dirfd, folders, m);
	for (k = 0; k < m; k++) {
		progress("calls", k, m);
		if (calls[k].plan)
			take_plan(&calls[k]);
		else if (!take_call(&calls[k], root))
			graph[ngraph++] = &calls[k];
	}
	for (k = 0; k < ngraph; k++)
		take_replays(graph[k], root);
	progress("calls", m, m);
	dump_plans_release(&plans);
	dump_ahead_end(plans.ahead);
	close(plans.dirfd);
	free(folders);
	free(graph);
	for (i = 0; i < n; i++)
		free(v[i]);
	free(v);
	free(calls);
}

/* ---- archives ---- */

static bool matters(const char *function)
{
	return is_plan(function) || is_called(function);
}

static const char *folder_of(const char *arg)
{
	struct strbuf cut = STRBUF_INIT;
	const char *folder = dump_spool_folder(arg, matters, &cut, &err);

	if (!folder)
		die(errno == ENOSPC ? EX_AGAIN : EX_REFUSED, "%s", err.buf);
	if (cut.len)
		warn("%s: what came before that is taken", cut.buf);
	strbuf_release(&cut);
	return folder;
}

/* ---- writing ---- */

static json_t *report_of(const struct wl_target *t, const struct wl_result *r)
{
	return json_pack("{s:I, s:I, s:O, s:I, s:I, s:I, s:I, s:o, s:s?}",
			 "seen", (json_int_t)t->seen, "accepted",
			 (json_int_t)t->accepted, "refused", t->refused,
			 "distinct", (json_int_t)t->found.n, "selected",
			 (json_int_t)r->selected, "added",
			 (json_int_t)r->added, "entries",
			 (json_int_t)r->entries, "axes",
			 wl_ranges(&t->found), "kept", r->kept);
}

int main(int argc, char **argv)
{
	int first = opt_parse(argc, argv, &tool, options);
	json_t *defs = json_object(), *report;
	size_t i;

	if (first == argc || !dataset)
		opt_usage("--dataset and a folder of dumps are needed");
	if (max_new < 1)
		opt_usage("--max-new-workloads is at least 1");
	load_targets();
	atexit(dump_spool_remove);
	functions = json_object();
	broken = json_object();
	for (; first < argc; first++)
		scan(folder_of(argv[first]));
	for (i = 0; i < ntargets; i++) {
		struct wl_target *t = &targets[i];
		struct wl_result r = { 0 };
		struct wl_place place = { .map = &t->map, .op = t->op,
			.name = t->name, .root = out_dir ? out_dir : dataset,
			.max = (size_t)max_new, .replace = replace };

		if (!report_only && wl_write(&t->found, &place, &r, &err))
			die(EX_AGAIN, "%s", err.buf);
		if (r.kept && t->seen)
			warn("%s: the workload file stays as it is: %s",
			     t->name, r.kept);
		json_object_set_new(defs, t->name, report_of(t, &r));
	}
	report = json_pack("{s:I, s:I, s:I, s:I, s:O, s:O, s:O}", "dumps",
			   (json_int_t)dumps, "calls", (json_int_t)used,
			   "accepted", (json_int_t)fitted, "unreadable",
			   (json_int_t)unreadable, "unreadable_because",
			   broken, "functions", functions, "definitions",
			   defs);
	if (json_out && json_save(report, json_out, &err))
		die(EX_AGAIN, "%s", err.buf);
	return done();
}
