/*
 * classify - what is there already for each kernel that a model needs.
 *
 * existing or new is judged by the dataset's index (its commit, never its
 * work tree); FlashInfer's and SGLang's part by theirs. Every status carries
 * its evidence: repository, file, line and commit.
 */
#include "lib/die.h"
#include "lib/kernels.h"
#include "lib/opt.h"

static const char *kernels_dir = "kernels", *index_dir, *out = "-";

static const struct tool tool = {
	"--index=DIR [--kernels=DIR] [-o FILE] NEEDED",
	"Classify the kernels of needed.json (- is stdin).",
	"needed.json; DIR/{flashinfer,sglang,flashinfer_trace}.json; templates",
	"kernels.json: needed.json's kernels with phase1_status, fi_status,\n"
	"        fi_trace_template, sgl_status, and evidence"
};

static const struct option options[] = {
	OPT_STR('k', "kernels", &kernels_dir, "DIR", "the catalogue [kernels]"),
	OPT_STR('i', "index", &index_dir, "DIR", "indexes of index-apis"),
	OPT_STR('o', "output", &out, "FILE", "kernels.json, - is stdout [-]"),
	OPT_END
};

struct facts {
	json_t *flashinfer, *sglang, *dataset;
};

static struct strbuf err = STRBUF_INIT;

static json_t *load_index(const char *name, const char *key)
{
	struct strbuf path = STRBUF_INIT;
	json_t *j;

	strbuf_addf(&path, "%s/%s.json", index_dir, name);
	j = json_load_path(path.buf, JSON_MAX_INDEX, &err);
	if (!j || !json_need_object(j, key, path.buf, &err) ||
	    !json_need_str(j, "short", path.buf, &err))
		die(EX_REFUSED, "%s", err.buf);
	strbuf_release(&path);
	return j;
}

/* line 0: the whole file, or its absence */
static json_t *evidence(const json_t *index, const char *file,
			json_int_t line, const char *note)
{
	json_t *e = json_pack("{s:s, s:s, s:I, s:s}", "repo",
			      json_get_str(index, "repo"), "file", file,
			      "line", line, "commit",
			      json_get_str(index, "short"));

	if (note)
		json_object_set_new(e, "note", json_string(note));
	return e;
}

/* The API of the template that this FlashInfer has, or NULL. */
static const char *find_api(const struct facts *f, const json_t *paths,
			    const json_t **api)
{
	json_t *apis = json_object_get(f->flashinfer, "apis"), *v, *o;
	const char *key;
	size_t i;

	json_array_foreach((json_t *)paths, i, v) {
		const char *p = json_string_value(v);

		*api = json_object_get(apis, p);
		if (*api)
			return p;
		/* the template may name a path that is an alias here */
		json_object_foreach(apis, key, o)
			if (json_array_has(json_object_get(o, "paths"), p)) {
				*api = o;
				return key;
			}
	}
	*api = NULL;
	return NULL;
}

static void add_trace_flag(const struct facts *f, json_t *k, json_t *ev,
			   const json_t *template, const json_t *api)
{
	const char *method = json_get_str(template, "fi_method");
	const json_t *at = api;
	bool has;

	if (!strcmp(json_get_str(api, "kind"), "class"))
		at = json_object_get(json_object_get(api, "methods"),
				     method ? method : "run");
	has = json_is_string(json_object_get(at, "trace"));
	json_object_set_new(k, "fi_trace_template", json_boolean(has));
	json_object_set_new(ev, "fi_trace_template", evidence(f->flashinfer,
		json_get_str(api, "file"),
		json_integer_value(json_object_get(at ? at : api,
			has ? "decorator_line" : "line")),
		has ? json_get_str(at, "trace") : "no trace= here"));
}

/* The call to show: a real call before a mere use, layers/ before others. */
static const json_t *best_call(const struct facts *f, const json_t *api)
{
	json_t *calls = json_object_get(f->sglang, "calls"), *p, *c;
	const json_t *best = NULL;
	int rank = -1;
	size_t i, k;

	json_array_foreach(json_object_get(api, "paths"), i, p) {
		json_array_foreach(json_object_get(calls,
				   json_string_value(p)), k, c) {
			int r = 2 * json_is_true(json_object_get(c, "call")) +
				(strstr(json_get_str(c, "file"),
					"/layers/") != NULL);

			if (r > rank) {
				rank = r;
				best = c;
			}
		}
	}
	return best;
}

static void add_sgl(const struct facts *f, json_t *k, json_t *ev,
		    const char *path, const json_t *api)
{
	const json_t *call = best_call(f, api);

	json_object_set_new(k, "sgl_status", json_string(call ?
			    "sgl_integrated" : "sgl_missing"));
	if (call)
		json_object_set_new(ev, "sgl_status", evidence(f->sglang,
			json_get_str(call, "file"), json_integer_value(
			json_object_get(call, "line")), path));
	else
		json_object_set_new(ev, "sgl_status", evidence(f->sglang,
			"python/sglang/srt", 0, "nothing there imports it"));
}

static bool add_phase1(const struct facts *f, json_t *k, json_t *ev,
		       const char *op, const char *name)
{
	const json_t *def = json_object_get(json_object_get(f->dataset,
					    "definitions"), name);
	struct strbuf path = STRBUF_INIT;

	json_object_set_new(k, "phase1_status", json_string(def ? "existing" :
							    "new"));
	strbuf_addf(&path, "definitions/%s/%s.json", op, name);
	json_object_set_new(ev, "phase1_status", evidence(f->dataset, def ?
		json_get_str(def, "file") : path.buf, def ? 1 : 0,
		def ? NULL : "no such file"));
	strbuf_release(&path);
	return def;
}

static json_t *classify(const struct facts *f, const json_t *needed)
{
	json_t *k = json_deep_copy(needed), *ev = json_object(), *apis;
	const char *op = json_get_str(k, "op_type"), *path;
	const char *name = json_get_str(k, "definition_name");
	const char *cannot;
	const json_t *api;
	struct kernel_template t;
	bool existing;

	if (!op || !name || kernel_template_load(&t, kernels_dir, op,
			json_get_str(k, "template"), &err))
		die(EX_REFUSED, "%s", err.len ? err.buf :
		    "needed.json: a kernel without name or op_type");
	existing = add_phase1(f, k, ev, op, name);
	apis = json_object_get(t.json, "fi_api");
	path = find_api(f, apis, &api);
	cannot = json_get_str(k, "fi_cannot");
	if (path && cannot) {
		json_object_set_new(k, "fi_status", json_string(existing ?
				    "n/a" : "fi_missing"));
		json_object_set_new(k, "sgl_status", json_string("n/a"));
		json_object_set_new(ev, "fi_status", evidence(f->flashinfer,
			json_get_str(api, "file"), json_integer_value(
			json_object_get(api, "line")), cannot));
	} else if (path) {
		json_object_set_new(k, "fi_api", json_string(path));
		json_object_set_new(k, "fi_status", json_string(existing ?
				    "n/a" : "fi_supported"));
		json_object_set_new(ev, "fi_status", evidence(f->flashinfer,
			json_get_str(api, "file"), json_integer_value(
			json_object_get(api, "line")), path));
		add_trace_flag(f, k, ev, t.json, api);
		add_sgl(f, k, ev, path, api);
	} else {
		bool needs = !json_is_false(json_object_get(t.json,
							    "fi_needed"));

		json_object_set_new(k, "fi_status", json_string(
			needs && !existing ? "fi_missing" : "n/a"));
		json_object_set_new(k, "sgl_status", json_string("n/a"));
		json_object_set_new(ev, "fi_status", evidence(f->flashinfer,
			"flashinfer", 0, needs ? "none of its APIs is there" :
			"needs no FlashInfer kernel"));
	}
	json_object_set_new(k, "evidence", ev);
	kernel_template_release(&t);
	return k;
}

int main(int argc, char **argv)
{
	int first = opt_parse(argc, argv, &tool, options);
	json_t *needed, *kernels, *all, *k;
	struct facts f;
	size_t i;

	if (!index_dir || first + 1 != argc)
		opt_usage("--index and one needed.json are needed");
	needed = json_load_path(argv[first], JSON_MAX_CONFIG, &err);
	kernels = needed ? json_need_array(needed, "kernels", argv[first],
					   &err) : NULL;
	if (!kernels)
		die(EX_REFUSED, "%s", err.buf);
	f.flashinfer = load_index("flashinfer", "apis");
	f.sglang = load_index("sglang", "calls");
	f.dataset = load_index("flashinfer_trace", "definitions");
	all = json_array();
	json_array_foreach(kernels, i, k)
		json_array_append_new(all, classify(&f, k));
	needed = json_pack("{s:o, s:O?}", "kernels", all, "not_understood",
			   json_object_get(needed, "not_understood"));
	if (json_save(needed, out, &err))
		die(EX_AGAIN, "%s", err.buf);
	return done();
}
