/*
 * index-apis - make the index of one upstream tree (lib/index.h).
 * Reads repos.json and the clone, or the snapshot where repos.json says so;
 * writes an index file. An index of the same tree is only given a new time.
 */
#include "lib/die.h"
#include "lib/git.h"
#include "lib/index.h"
#include "lib/opt.h"
#include "lib/outfile.h"

#include <fcntl.h>
#include <sys/stat.h>

/* Raise when an index of the same tree comes out otherwise. */
#define INDEX_FORMAT 1

static const char *repos_path, *wish_path, *root = "tmp", *snapshot;
static const char *out = "-";

static const struct tool tool = {
	"--repos=FILE --wish=FILE [--root=DIR] [--snapshot=DIR] [-o FILE] NAME",
	"Index the public APIs, call sites or facts of one upstream tree.",
	"repos.json and the clone of NAME (sglang, flashinfer, sgl_cookbook,\n"
	"        flashinfer_trace, flashinfer_bench), or the snapshot",
	"one JSON file; nothing is scanned if it is of the same tree already"
};

static const struct option options[] = {
	OPT_STR(0, "repos", &repos_path, "FILE", "repos.json of fetch-repos"),
	OPT_STR('w', "wish", &wish_path, "FILE", "manifests/repos.json"),
	OPT_STR('r', "root", &root, "DIR", "folder of the clones [tmp]"),
	OPT_STR(0, "snapshot", &snapshot, "DIR", "facts shipped with onboard"),
	OPT_STR('o', "output", &out, "FILE", "the index, - is stdout [-]"),
	OPT_END
};

static const struct kind {
	const char *name;
	json_t *(*make)(const char *dir, struct strbuf *err);
} kinds[] = {
	{ "flashinfer", index_flashinfer },
	{ "sglang", index_sglang },
	{ "sgl_cookbook", index_cookbook },
	{ "flashinfer_trace", index_dataset },
	{ "flashinfer_bench", index_coverage },
};

static bool same_tree(const char *id)
{
	struct strbuf no = STRBUF_INIT;
	json_t *old = json_load_path(out, JSON_MAX_INDEX, &no);
	const char *old_id = json_get_str(old, "id");
	bool same = old_id && !strcmp(old_id, id) &&
		json_integer_value(json_object_get(old, "format")) ==
		INDEX_FORMAT;

	json_decref(old);
	strbuf_release(&no);
	return same;
}

static json_t *from_snapshot(const char *name, const char *id,
			     struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	json_t *j;

	if (!snapshot)
		opt_usage("--snapshot is needed: repos.json takes %s from it",
			  name);
	strbuf_addf(&path, "%s/%s.json", snapshot, name);
	j = json_load_path(path.buf, JSON_MAX_INDEX, err);
	if (j && (!json_get_str(j, "id") || strcmp(json_get_str(j, "id"), id)))
		die(EX_REFUSED, "%s is of another tree than %s; run"
		    " fetch-repos again", path.buf, repos_path);
	strbuf_release(&path);
	return j;
}

int main(int argc, char **argv)
{
	struct strbuf err = STRBUF_INIT, dir = STRBUF_INIT;
	int first = opt_parse(argc, argv, &tool, options);
	const char *name, *id, *kind;
	json_t *repos, *wish, *entry, *body, *j, *why;
	size_t k;

	if (!repos_path || !wish_path || first + 1 != argc)
		opt_usage("--repos, --wish and one NAME are needed");
	name = argv[first];
	for (k = 0; k < ARRAY_SIZE(kinds); k++)
		if (!strcmp(kinds[k].name, name))
			break;
	if (k == ARRAY_SIZE(kinds))
		opt_usage("no such tree: '%s'", name);
	git_setup();
	repos = json_load_path(repos_path, JSON_MAX_CONFIG, &err);
	wish = repos ? json_load_path(wish_path, JSON_MAX_CONFIG, &err) : NULL;
	entry = wish ? json_need_object(repos, name, repos_path, &err) : NULL;
	if (!entry || !(id = json_need_str(entry, "id", repos_path, &err)) ||
	    !(kind = json_need_str(entry, "kind", repos_path, &err)))
		die(EX_REFUSED, "%s", err.buf);
	if (strcmp(out, "-") && same_tree(id)) {
		if (utimensat(AT_FDCWD, out, NULL, 0))
			die(EX_AGAIN, "unable to renew %s: %s", out,
			    strerror(errno));
		return done();
	}
	if (!strcmp(kind, "snapshot")) {
		j = from_snapshot(name, id, &err);
	} else {
		strbuf_addf(&dir, "%s/%s", root, json_get_str(
			json_object_get(wish, name), "dir"));
		body = kinds[k].make(dir.buf, &err);
		j = body ? json_pack("{s:s, s:s, s:s, s:i}", "repo", name,
			"id", id, "short", json_get_str(entry, "short"),
			"format", INDEX_FORMAT) : NULL;
		if (j)
			json_object_update(j, body);
	}
	if (!j)
		die(EX_REFUSED, "%s", err.buf);
	json_array_foreach(json_object_get(j, "left_out"), k, why)
		warn("left out: %s", json_string_value(why));
	if (json_save(j, out, &err))
		die(EX_AGAIN, "%s", err.buf);
	return done();
}
