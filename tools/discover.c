/*
 * discover - models that are new upstream.
 *
 * Candidates are model files added to SGLang that register an entry class,
 * cookbook pages added, both since a date, in the history of the clones,
 * and what trends on the Hub if it answers; what the coverage page tracks
 * already is left out. The oldest commit that
 * a shallow clone holds is no evidence: everything in it looks added.
 */
#include "lib/die.h"
#include "lib/http.h"
#include "lib/git.h"
#include "lib/json.h"
#include "lib/model.h"
#include "lib/opt.h"

static const char *root = "tmp", *repos_path, *index_dir, *since = "30.days";
static const char *out = "-";
static bool slugs_only;

static const struct tool tool = {
	"--repos=FILE --index=DIR [--root=DIR] [--since=DATE] [-o FILE]",
	"Find models that are new in SGLang or in the cookbook.",
	"the clones' history, the Hub's trending list if it answers,\n"
	"        DIR/{sglang,sgl_cookbook,flashinfer_bench}.json",
	"{since, candidates: [{slug, hf_repo_id, source, file, commit, date,\n"
	"        classes}], tracked: [...], notes: [...]}"
};

static const struct option options[] = {
	OPT_STR('r', "root", &root, "DIR", "folder of the clones [tmp]"),
	OPT_STR(0, "repos", &repos_path, "FILE", "repos.json"),
	OPT_STR('i', "index", &index_dir, "DIR", "indexes of index-apis"),
	OPT_STR(0, "since", &since, "DATE", "as git takes it [30.days]"),
	OPT_BOOL(0, "slugs", &slugs_only, "print the slugs alone"),
	OPT_STR('o', "output", &out, "FILE", "the report, - is stdout [-]"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT;
static json_t *candidates, *tracked, *notes, *coverage;

static json_t *load(const char *name)
{
	struct strbuf path = STRBUF_INIT;
	json_t *j;

	strbuf_addf(&path, "%s/%s.json", index_dir, name);
	j = json_load_path(path.buf, JSON_MAX_INDEX, &err);
	if (!j)
		die(EX_REFUSED, "%s", err.buf);
	strbuf_release(&path);
	return j;
}

static void note(const char *fmt, ...)
{
	struct strbuf sb = STRBUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(&sb, fmt, ap);
	va_end(ap);
	json_array_append_new(notes, json_string(sb.buf));
	strbuf_release(&sb);
}

static bool is_tracked(const char *slug)
{
	json_t *v;
	size_t i;

	json_array_foreach(coverage, i, v)
		if (model_page_covers(json_string_value(v), slug))
			return true;
	return false;
}

static void add(const char *slug, const char *hub_id, const char *source,
		const char *file, const char *commit, const char *date,
		json_t *classes)
{
	json_t *o = json_pack("{s:s, s:s?, s:s, s:s, s:s%, s:s, s:o}", "slug",
		slug, "hf_repo_id", hub_id, "source", source, "file", file,
		"commit", commit, strnlen(commit, 7), "date", date, "classes",
		classes ? classes : json_array());
	json_t *v;
	size_t i;

	if (is_tracked(slug)) {
		json_array_append_new(tracked, o);
		return;
	}
	json_array_foreach(candidates, i, v)
		if (!strcmp(json_get_str(v, "slug"), slug)) {
			json_decref(o);
			return;
		}
	json_array_append_new(candidates, o);
}

static void from_sglang(const json_t *index, const char *file,
			const char *commit, const char *date)
{
	struct strbuf slug = STRBUF_INIT;
	json_t *classes = json_array(), *v;
	const char *name, *base = strrchr(file, '/') + 1;

	json_object_foreach(json_object_get(index, "models"), name, v)
		if (!strcmp(json_get_str(v, "file"), file))
			json_array_append_new(classes, json_string(name));
	if (!json_array_size(classes)) {
		note("%s registers no entry class: not a model", file);
		json_decref(classes);
		return;
	}
	strbuf_addf(&slug, "%.*s", (int)strcspn(base, "."), base);
	{
		struct strbuf s = STRBUF_INIT;

		model_slug_of(&s, slug.buf);
		add(s.buf, NULL, "sglang", file, commit, date, classes);
		strbuf_release(&s);
	}
	strbuf_release(&slug);
}

static void from_cookbook(const json_t *index, const char *file,
			  const char *commit, const char *date)
{
	const char *id;
	json_t *v;

	json_object_foreach(json_object_get(index, "models"), id, v) {
		struct strbuf slug = STRBUF_INIT;

		if (!strcmp(json_get_str(v, "file"), file)) {
			model_slug_of(&slug, id);
			add(slug.buf, id, "sgl_cookbook", file, commit, date,
			    NULL);
		}
		strbuf_release(&slug);
	}
}

/*
 * What trends on the Hub, where there is a network: text models whose
 * architecture SGLang serves. Without a network that is a note.
 */
static void from_hub(const json_t *sglang)
{
	struct strbuf url = STRBUF_INIT, body = STRBUF_INIT;
	struct strbuf why = STRBUF_INIT;
	struct http_request rq = { .max = 8 << 20, .tries = 2,
				   .wait_ms = 1000 };
	json_t *list = NULL, *v, *models = json_object_get(sglang, "models");
	long status = 0;
	size_t i;

	strbuf_addf(&url, "%s/api/models?sort=trendingScore&direction=-1"
		    "&limit=50&filter=text-generation&expand[]=config"
		    "&expand[]=createdAt", model_hub_endpoint());
	rq.url = url.buf;
	if (!http_get(&rq, &body, &status, &why) && status == 200)
		list = json_parse(body.buf, body.len, "the list", &why);
	if (!json_is_array(list))
		note("the Hub's trending list is left out: %s", why.len ?
		     why.buf : "it answered with something else");
	json_array_foreach(list, i, v) {
		const char *id = json_get_str(v, "id");
		const char *date = json_get_str(v, "createdAt");
		json_t *arch = json_object_get(json_object_get(v, "config"),
					       "architectures");
		const char *class = json_string_value(json_array_get(arch,
								      0));
		struct strbuf slug = STRBUF_INIT;

		if (!id || !model_hub_id_ok(id))
			continue;
		model_slug_of(&slug, id);
		if (!class || !json_object_get(models, class))
			note("%s trends; SGLang serves no %s", id, class ?
			     class : "model whose config names no class");
		else
			add(slug.buf, id, "hub", url.buf, "", date ?
			    date : "", json_pack("[s]", class));
		strbuf_release(&slug);
	}
	json_decref(list);
	strbuf_release(&url);
	strbuf_release(&body);
	strbuf_release(&why);
}

/* Commits at which a shallow clone was cut. */
static char *cut_commits(const char *dir)
{
	struct strbuf path = STRBUF_INIT, sb = STRBUF_INIT, no = STRBUF_INIT;

	strbuf_addf(&path, "%s/.git/shallow", dir);
	strbuf_read_file(&sb, path.buf, &no);
	strbuf_release(&path);
	strbuf_release(&no);
	return strbuf_detach(&sb);
}

static void scan(const char *repo, const char *dir_name, const char *pattern,
		 void (*fn)(const json_t *, const char *, const char *,
			    const char *))
{
	json_t *repos = json_load_path(repos_path, JSON_MAX_CONFIG, &err);
	struct strbuf dir = STRBUF_INIT, log = STRBUF_INIT_MAX(64 << 20);
	struct strbuf arg = STRBUF_INIT;
	char *cut, *p, *next, commit[41] = "", date[11] = "";
	const char *kind;
	json_t *index;
	size_t files = 0;
	bool skip = false;

	if (!repos)
		die(EX_REFUSED, "%s", err.buf);
	kind = json_get_str(json_object_get(repos, repo), "kind");
	if (!kind || strcmp(kind, "git")) {
		note("%s is a %s: it has no history to look at", repo,
		     kind ? kind : "missing tree");
		return;
	}
	index = load(repo);
	strbuf_addf(&dir, "%s/%s", root, dir_name);
	strbuf_addf(&arg, "--since=%s", since);
	cut = cut_commits(dir.buf);
	if (git_run(&(struct git_call){ .dir = dir.buf, .out = &log, .args =
		    GIT_ARGS("log", arg.buf, "--diff-filter=A", "--no-renames",
			     "--name-only", "--format=@%H %cs", "--",
			     pattern) }, &err))
		die(EX_REFUSED, "%s", err.buf);
	for (p = log.buf; *p; p = next) {
		next = p + strcspn(p, "\n");
		if (*next)
			*next++ = '\0';
		if (*p == '@' && strlen(p) >= 52) {
			snprintf(commit, sizeof(commit), "%.40s", p + 1);
			snprintf(date, sizeof(date), "%.10s", p + 42);
			skip = strstr(cut, commit) != NULL;
			if (skip)
				note("%s: history is cut at %.7s, what it"
				     " adds cannot be told", repo, commit);
		} else if (*p && !skip) {
			files++;
			fn(index, p, commit, date);
		}
	}
	if (!files)
		note("%s: no file added since %s", repo, since);
	free(cut);
	strbuf_release(&dir);
	strbuf_release(&log);
	strbuf_release(&arg);
	json_decref(index);
	json_decref(repos);
}

int main(int argc, char **argv)
{
	json_t *all, *v;
	size_t i;

	if (opt_parse(argc, argv, &tool, options) != argc)
		opt_usage("no arguments are taken, only options");
	if (!repos_path || !index_dir)
		opt_usage("--repos and --index are needed");
	git_setup();
	candidates = json_array();
	tracked = json_array();
	notes = json_array();
	coverage = json_object_get(load("flashinfer_bench"), "coverage");
	scan("sglang", "sglang", "python/sglang/srt/models/*.py", from_sglang);
	scan("sgl_cookbook", "sgl-cookbook", "data/models/generated/*.yaml",
	     from_cookbook);
	from_hub(load("sglang"));
	all = json_pack("{s:s, s:o, s:o, s:o}", "since", since, "candidates",
			candidates, "tracked", tracked, "notes", notes);
	if (slugs_only)
		json_array_foreach(candidates, i, v)
			puts(json_get_str(v, "slug"));
	else if (json_save(all, out, &err))
		die(EX_AGAIN, "%s", err.buf);
	return done();
}
