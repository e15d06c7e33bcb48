/*
 * mkdef - write the Definitions of a model's new kernels, each with its
 * reference test and the solution that wraps FlashInfer.
 *
 * A definition that the dataset has is never touched. One of ours is a pure
 * function of all models that need it: provenance (--ours/NAME.json) keeps
 * what each of them wants, so the order in which models run does not show.
 * A file that we did not write, or that was edited since, is left as it is
 * and reported.
 */
#include "lib/check.h"
#include "lib/die.h"
#include "lib/kernels.h"
#include "lib/model.h"
#include "lib/opt.h"
#include "lib/outfile.h"
#include "lib/sha256.h"
#include "lib/tracedef.h"

#include <dirent.h>
#include <libgen.h>

static const char *kernels_dir = "kernels", *dataset, *ours, *out = "-";
static const char *slug_arg, *display_arg, *list_path, *trace_dir;
static bool print_only;

static const struct tool tool = {
	"--dataset=DIR --ours=DIR [--from-trace=DIR] [-o FILE] [KERNELS] |\n"
	"       mkdef --print [--slug=X] KERNELS",
	"Write the Definition JSON of every kernel that is new.",
	"kernels.json (- is stdin), RUN/serving.json beside it for the model's\n"
	"        name (or --slug), the templates",
	"DATASET/definitions/OP/NAME.json, its reference test and baseline\n"
	"        solution, provenance in --ours, and a report"
};

static const struct option options[] = {
	OPT_STR('k', "kernels", &kernels_dir, "DIR", "the catalogue [kernels]"),
	OPT_STR('d', "dataset", &dataset, "DIR", "clone of flashinfer-trace"),
	OPT_STR(0, "ours", &ours, "DIR", "provenance of what we wrote"),
	OPT_STR(0, "slug", &slug_arg, "X", "the model's slug"),
	OPT_STR(0, "display", &display_arg, "NAME", "how it is written"),
	OPT_STR(0, "from-trace", &trace_dir, "DIR",
		"take FlashInfer's trace dump; of the model if KERNELS is given"),
	OPT_BOOL(0, "print", &print_only,
		 "print the definitions, one JSON a line, and write nothing"),
	OPT_STR(0, "list", &list_path, "FILE", "paths of the files, a line each"),
	OPT_STR('o', "output", &out, "FILE", "the report, - is stdout [-]"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT;
static const char *slug, *display, *run_dir = ".";

/* What this model wants of the definition. */
static json_t *want_of(const json_t *k)
{
	bool missing = !strcmp(json_get_str(k, "fi_status"), "fi_missing");
	char *note = model_issue_note(run_dir, json_get_str(k,
						"definition_name"));
	json_t *want = json_pack("{s:s, s:s, s:O, s:O, s:O, s:O, s:b}",
			 "display",
			 display, "template", json_get_str(k, "template"),
			 "axes", json_object_get(k, "axes"), "params",
			 json_object_get(k, "params"), "tp",
			 json_object_get(k, "tp"), "ep",
			 json_object_get(k, "ep"), "unverified", missing);

	if (note)
		json_object_set_new(want, "note", json_string(note));
	free(note);
	return want;
}

/* The files of a definition, in the order in which they are written. */
enum { DEFINITION, TEST, SOLUTION, NFILES };
static const char *const digest_key[NFILES] = {
	"sha256", "test_sha256", "solution_sha256"
};

static void printed(struct strbuf *sb, json_t *j)
{
	json_print(sb, j);
	json_decref(j);
}

/*
 * What all these models share: text[], empty where there is no such file.
 * Prose and constants come from the first by name; models whose params
 * differ (an epsilon is not in the name) are told.
 */
static void render(const char *op, const char *name, const json_t *wants,
		   struct strbuf text[NFILES])
{
	json_t *slugs = json_array(), *sorted, *v, *first, *def, *sol = NULL;
	json_t *tp = json_array(), *ep = json_array();
	struct kernel_template t;
	struct kernel_use use;
	const char *key;
	char *test;
	size_t i;

	json_object_foreach((json_t *)wants, key, v)
		json_array_append_new(slugs, json_string(key));
	sorted = json_sorted_set(slugs);
	first = json_object_get(wants, json_string_value(json_array_get(
						sorted, 0)));
	json_array_foreach(sorted, i, v) {
		const json_t *w = json_object_get(wants, json_string_value(v));

		json_merge_numbers(tp, json_object_get(w, "tp"));
		json_merge_numbers(ep, json_object_get(w, "ep"));
		if (!json_equal(json_object_get(w, "params"),
				json_object_get(first, "params")) &&
		    !strcmp(json_string_value(v), slug))
			warn("%s: %s wants other constants (%s) than %s, whose"
			     " definition stands", name, slug,
			     json_dumps(json_object_get(w, "params"),
					JSON_COMPACT),
			     json_string_value(json_array_get(sorted, 0)));
	}
	use = (struct kernel_use){ .axes = json_object_get(first, "axes"),
		.params = json_object_get(first, "params"),
		.display = json_get_str(first, "display"), .models = sorted,
		.tp = tp, .ep = ep, .note = json_get_str(first, "note"),
		.unverified = json_is_true(json_object_get(first,
							   "unverified")) };
	if (kernel_template_load(&t, kernels_dir, op,
				 json_get_str(first, "template"), &err) ||
	    !(def = kernel_definition(&t, op, name, &use, &err)) ||
	    !(test = kernel_test(&t, op, name, &use, &err)) ||
	    (!use.unverified &&
	     !(sol = kernel_solution(&t, op, name, &use, &err))))
		die(EX_REFUSED, "%s", err.buf);
	printed(&text[DEFINITION], def);
	strbuf_addstr(&text[TEST], test);
	if (sol)
		printed(&text[SOLUTION], sol);
	kernel_template_release(&t);
	free(test);
	json_decref(slugs);
	json_decref(sorted);
	json_decref(tp);
	json_decref(ep);
}

static void save(const json_t *j, const char *path)
{
	if (json_save(j, path, &err))
		die(EX_AGAIN, "%s", err.buf);
}

static char *path_of(int file, const char *op, const char *name)
{
	switch (file) {
	case DEFINITION:
		return strbuf_text("%s/definitions/%s/%s.json", dataset, op, name);
	case TEST:
		return strbuf_text("%s/tests/references/test_%s.py", dataset, name);
	default:
		return strbuf_text("%s/solutions/baseline/%s/%s/"
			    "flashinfer_wrapper_%s.json", dataset, op, name,
			    name);
	}
}

struct former {
	char *prov_path;
	json_t *prov;			/* what we know of the files */
	char *path[NFILES];
	char hex[NFILES][SHA256_HEX];	/* of what is there, or "" */
	bool foreign[NFILES];		/* not ours, or edited since */
};

static void former_init(struct former *f, const char *op, const char *name)
{
	struct strbuf now = STRBUF_INIT, no = STRBUF_INIT;
	int i;

	f->prov_path = strbuf_text("%s/%s.json", ours, name);
	f->prov = json_load_path(f->prov_path, 1 << 20, &no);
	if (!f->prov)
		f->prov = json_pack("{s:{}, s:[]}", "wants", "sha256");
	for (i = 0; i < NFILES; i++) {
		f->path[i] = path_of(i, op, name);
		f->hex[i][0] = '\0';
		strbuf_reset(&now);
		if (!strbuf_read_file(&now, f->path[i], &no))
			sha256_bytes(f->hex[i], now.buf, now.len);
		f->foreign[i] = f->hex[i][0] && !json_array_has(
			json_object_get(f->prov, digest_key[i]), f->hex[i]);
		if (f->foreign[i])
			warn("%s is not as we wrote it; it is left as it is",
			     f->path[i]);
	}
	strbuf_release(&now);
	strbuf_release(&no);
}

static void former_release(struct former *f)
{
	int i;

	for (i = 0; i < NFILES; i++)
		free(f->path[i]);
	free(f->prov_path);
	json_decref(f->prov);
}

/*
 * Writes the files and their provenance. Both digests are on record while a
 * file changes: killed between the steps, the next run still knows it as
 * ours.
 */
static void place(struct former *f, const struct strbuf data[NFILES])
{
	char hex[NFILES][SHA256_HEX];
	int i;

	for (i = 0; i < NFILES; i++) {
		if (!data[i].len || f->foreign[i])
			continue;
		sha256_bytes(hex[i], data[i].buf, data[i].len);
		json_object_set_new(f->prov, digest_key[i],
				    json_pack("[s]", hex[i]));
		if (f->hex[i][0] && strcmp(f->hex[i], hex[i]))
			json_array_add(json_object_get(f->prov,
						       digest_key[i]),
				       f->hex[i]);
	}
	save(f->prov, f->prov_path);
	for (i = 0; i < NFILES; i++) {
		if (!data[i].len || f->foreign[i])
			continue;
		if (outfile_write(f->path[i], data[i].buf, data[i].len, &err))
			die(EX_AGAIN, "%s", err.buf);
		json_object_set_new(f->prov, digest_key[i],
				    json_pack("[s]", hex[i]));
	}
	save(f->prov, f->prov_path);
}

/* "written", or why the definition was left as it is */
static const char *write_one(const json_t *k, const char **method,
			     struct strbuf *list)
{
	struct strbuf data[NFILES] = { STRBUF_INIT, STRBUF_INIT, STRBUF_INIT };
	const char *name = json_get_str(k, "definition_name");
	const char *op = json_get_str(k, "op_type"), *what = "written";
	struct former f;
	json_t *wants;
	int i;

	*method = "manual";
	former_init(&f, op, name);
	if (json_get_str(f.prov, "method") && f.hex[DEFINITION][0] &&
	    !f.foreign[DEFINITION]) {
		*method = "trace_dump";
	} else if (f.foreign[DEFINITION]) {
		what = "left: not ours or edited";
	} else {
		json_object_set_new(json_object_get(f.prov, "wants"), slug,
				    want_of(k));
		/* by name, so that the file does not tell who came first */
		wants = json_sorted_object(json_object_get(f.prov, "wants"));
		json_object_set_new(f.prov, "wants", wants);
		render(op, name, wants, data);
		place(&f, data);
	}
	for (i = 0; i < NFILES; i++) {
		if (f.hex[i][0] || data[i].len)
			strbuf_addf(list, "%s\n", f.path[i]);
		strbuf_release(&data[i]);
	}
	former_release(&f);
	return what;
}

/* ---- a trace dump ---- */

/* Our own validator has the last word: its first error is the reason. */
static bool valid(const json_t *d)
{
	char *why = check_made(d, json_get_str(d, "op_type"),
			       json_get_str(d, "name"));

	if (why && !err.len)
		strbuf_addstr(&err, why);
	free(why);
	return !why;
}

static const char *place_trace(json_t *d)
{
	struct strbuf data[NFILES] = { STRBUF_INIT, STRBUF_INIT, STRBUF_INIT };
	const char *result = "written";
	struct former f;

	former_init(&f, json_get_str(d, "op_type"), json_get_str(d, "name"));
	if (f.foreign[DEFINITION]) {
		result = "left: not ours or edited";
	} else {
		json_object_set_new(f.prov, "method",
				    json_string("trace_dump"));
		json_print(&data[DEFINITION], d);
		place(&f, data);
		strbuf_release(&data[DEFINITION]);
	}
	former_release(&f);
	return result;
}

static json_t *take_trace(const char *file, const struct tracedef *t)
{
	char *path = strbuf_text("%s/%s", trace_dir, file);
	const char *repair = NULL, *result = "refused";
	const json_t *entry = NULL;
	json_t *d, *row;

	strbuf_reset(&err);
	d = json_load_path(path, (size_t)16 << 20, &err);
	if (d && !tracedef_normalise(d, t, &entry, &repair, &err) &&
	    valid(d)) {
		if (entry && strcmp(json_get_str(entry, "phase1_status"),
				    "new"))
			result = "existing";
		else if (t->needed && !entry)
			result = "not needed by the model";
		else
			result = place_trace(d);
	}
	row = json_pack("{s:s, s:s}", "file", file, "result", result);
	if (d && json_get_str(d, "name"))
		json_object_set(row, "definition_name",
				json_object_get(d, "name"));
	if (err.len && json_object_set_new(row, "reason",
					   json_string(err.buf)))
		json_object_set_new(row, "reason", json_string("no UTF-8"));
	if (repair)
		json_object_set_new(row, "repaired", json_string(repair));
	json_decref(d);
	free(path);
	strbuf_reset(&err);
	return row;
}

static json_t *take_traces(const json_t *needed)
{
	struct tracedef t = { kernels_dir, needed, needed ? slug : NULL };
	json_t *rows = json_array();
	struct dirent **v = NULL;
	int n = scandir(trace_dir, &v, dir_json, dir_by_name), i;

	if (n < 0)
		die(EX_REFUSED, "unable to read folder %s: %s", trace_dir,
		    strerror(errno));
	for (i = 0; i < n; i++) {
		json_array_append_new(rows, take_trace(v[i]->d_name, &t));
		free(v[i]);
	}
	free(v);
	return rows;
}

static void print_one(const json_t *k)
{
	json_t *def = kernel_definition_for(kernels_dir, k, slug, display,
					    &err);
	char *s;

	if (!def)
		die(EX_REFUSED, "%s", err.buf);
	s = json_dumps(def, JSON_COMPACT);
	puts(s);
	free(s);
	json_decref(def);
}

static void find_names(const char *kernels_path)
{
	char *copy = xstrdup(kernels_path), *path;
	struct strbuf no = STRBUF_INIT;
	const char *id;
	json_t *j;

	slug = slug_arg;
	display = display_arg;
	run_dir = dirname(copy);
	path = strbuf_text("%s/serving.json", run_dir);
	j = strcmp(kernels_path, "-") ? json_load_path(path, 1 << 20, &no)
				      : NULL;
	if (!slug)
		slug = json_get_str(j, "model_slug");
	if (!slug)
		opt_usage("--slug is needed: there is no %s", path);
	id = json_get_str(j, "hf_repo_id");
	if (!display)
		display = id && strchr(id, '/') ? strchr(id, '/') + 1 : slug;
}

int main(int argc, char **argv)
{
	int first = opt_parse(argc, argv, &tool, options);
	json_t *all, *kernels, *k, *report = json_array();
	struct strbuf list = STRBUF_INIT;
	char *lock = NULL;
	size_t i;

	if (trace_dir && first == argc && dataset && ours && !print_only) {
		all = json_pack("{s:o}", "traces", take_traces(NULL));
		goto save;
	}
	if (first + 1 != argc || (!print_only && (!dataset || !ours)))
		opt_usage("--dataset, --ours and one kernels.json are needed");
	all = json_load_path(argv[first], JSON_MAX_CONFIG, &err);
	kernels = all ? json_need_array(all, "kernels", argv[first], &err)
		      : NULL;
	if (!kernels)
		die(EX_REFUSED, "%s", err.buf);
	find_names(argv[first]);
	if (!print_only) {
		lock = strbuf_text("%s/.lock", ours);
		if (outfile_lock(lock, 60, &err) < 0)
			die(EX_AGAIN, "%s", err.buf);
	}
	if (trace_dir) {
		all = json_pack("{s:o}", "traces", take_traces(kernels));
		goto save;
	}
	json_array_foreach(kernels, i, k) {
		const char *name = json_get_str(k, "definition_name");
		const char *op = json_get_str(k, "op_type"), *what, *method;
		char *path;

		if (!name || !op || !kernel_name_ok(name) ||
		    !kernel_name_ok(op))
			die(EX_REFUSED, "%s: kernel %zu has no name or op_type"
			    " that can be a file's name", argv[first], i);

		if (print_only) {
			print_one(k);
			continue;
		}
		if (strcmp(json_get_str(k, "phase1_status"), "new")) {
			json_array_append_new(report, json_pack("{s:s, s:s}",
				"definition_name", name, "result",
				"existing"));
			continue;
		}
		path = path_of(DEFINITION, op, name);
		what = write_one(k, &method, &list);
		json_array_append_new(report, json_pack(
			"{s:s, s:s, s:s, s:s}", "definition_name", name,
			"result", what, "method", method, "file",
			path + strlen(dataset) + 1));
		free(path);
	}
	if (print_only)
		return done();
	all = json_pack("{s:o}", "definitions", report);
	if (list_path && outfile_write(list_path, list.buf, list.len, &err))
		die(EX_AGAIN, "%s", err.buf);
save:
	if (json_save(all, out, &err))
		die(EX_AGAIN, "%s", err.buf);
	return done();
}
