/*
 * mkpr - issues and pull requests of a model: laid out, checked, sent.
 *
 * Without --send and --check it lays what a stage needs into the outbox and
 * writes the list of items; nothing leaves the machine. --send=LIST sends the
 * items of such a list where there are credentials, and tells how to file by
 * hand what it cannot send. --check=LIST prints the checklist, with what the
 * servers say of what was sent. lib/pr.h has the rest.
 */
#include "lib/die.h"
#include "lib/opt.h"
#include "lib/outfile.h"
#include "lib/model.h"
#include "lib/pr.h"

#include <curl/curl.h>
#include <dirent.h>
#include <signal.h>

static struct pr pr = { .kernels_dir = "kernels", .root = "tmp" };
static const char *list_path, *out = "-", *stage = "prs", *send_path;
static const char *check_path, *urls, *open_path;
static bool no_submit, no_fail;
static long jobs = 4;

static const struct tool tool = {
	"--run=DIR --repos=FILE --index=DIR --outbox=DIR [-o FILE]",
	"Lay out, check or send issues and pull requests of a model.",
	"DIR/*.json of the run, repos.json, templates; the dataset's folder and\n"
	"        flashinfer-bench's page below ROOT; tokens where gh and\n"
	"        huggingface_hub keep them",
	"OUTBOX/NAME/{issue,trace-template,sglang,dataset,coverage}/, the list\n"
	"        of items, DIR/url/NAME.KIND of what was sent"
};

static const struct option options[] = {
	OPT_STR('r', "run", &pr.run, "DIR", "folder of the run"),
	OPT_STR(0, "repos", &pr.repos_path, "FILE", "repos.json"),
	OPT_STR('i', "index", &pr.index, "DIR", "indexes of index-apis"),
	OPT_STR('k', "kernels", &pr.kernels_dir, "DIR",
		"the catalogue [kernels]"),
	OPT_STR(0, "root", &pr.root, "DIR", "folder of the clones [tmp]"),
	OPT_STR(0, "outbox", &pr.outbox, "DIR", "where to lay them"),
	OPT_STR(0, "urls", &urls, "DIR", "URLs of what was sent [DIR/url]"),
	OPT_STR('s', "stage", &stage, "STAGE",
		"issues, sglang or prs (dataset, coverage) [prs]"),
	OPT_STR(0, "list", &list_path, "FILE", "paths of the files, a line each"),
	OPT_STR(0, "send", &send_path, "LIST", "send these items"),
	OPT_STR(0, "check", &check_path, "LIST", "print their checklist"),
	OPT_BOOL(0, "no-submit", &no_submit, "with --send: send nothing"),
	OPT_BOOL(0, "no-fail", &no_fail,
		 "with --send: what failed is tried again later, exit 0"),
	OPT_STR(0, "open", &open_path, "FILE",
		"with --send: is there while something is to be asked again"),
	OPT_INT('j', "jobs", &jobs, "N", "definitions at a time [4]"),
	OPT_STR('o', "output", &out, "FILE", "the list of items [-]"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT;

static void need(int failed)
{
	if (failed)
		die(EX_REFUSED, "%s", err.buf);
}

/* ---- laying ---- */

static bool is_new(const json_t *k)
{
	return pr_is(k, "phase1_status", "new");
}

static void lay_issue_of(const json_t *k)
{
	if (pr_is(k, "fi_status", "fi_missing"))
		need(pr_lay_issue(&pr, k, &err));
	else if (json_is_false(json_object_get(k, "fi_trace_template")))
		need(pr_lay_trace_template(&pr, k, &err));
}

static void lay_pulls_of(json_t *k, const json_t *possible,
			 const struct strbuf *page)
{
	char *note = model_issue_note(pr.run, json_get_str(k,
							"definition_name"));

	if (note)
		json_object_set_new(k, "note", json_string(note));
	free(note);
	need(pr_lay_dataset(&pr, k, &err));
	need(pr_lay_coverage(&pr, k, possible, page, &err));
	if (pr_is(k, "fi_status", "fi_missing"))
		need(pr_lay_issue(&pr, k, &err));
}

/* What an earlier run laid there and this one does not want. */
static void remove_stale(const json_t *names)
{
	struct strbuf path = STRBUF_INIT;
	DIR *d = opendir(pr.outbox);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' || json_array_has(names, e->d_name))
			continue;
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/%s", pr.outbox, e->d_name);
		need(outfile_remove_tree(path.buf, &err));
	}
	if (d)
		closedir(d);
	strbuf_release(&path);
}

static void lay_pulls(json_t *names)
{
	struct strbuf page = STRBUF_INIT_MAX(16 << 20), path = STRBUF_INIT;
	struct strbuf no = STRBUF_INIT;
	json_t *possible = pr_artefact(&pr, "possible.json", &err), *k;
	json_t *folders = json_array();	/* those of the sglang stage, too */
	bool have;
	size_t i;

	strbuf_addf(&path, "%s/flashinfer-bench/docs/model_coverage.mdx",
		    pr.root);
	have = !strbuf_read_file(&page, path.buf, &no);
	json_array_foreach(pr.kernels, i, k) {
		if (is_new(k) || pr_is(k, "sgl_status", "sgl_missing"))
			json_array_append(folders, json_object_get(k,
							"definition_name"));
		if (!is_new(k))
			continue;
		json_array_append(names, json_object_get(k,
							"definition_name"));
		lay_pulls_of(k, possible, have ? &page : NULL);
	}
	remove_stale(folders);
	json_decref(folders);
	strbuf_release(&page);
	strbuf_release(&path);
	strbuf_release(&no);
}

static void lay(void)
{
	json_t *names = json_array(), *list, *it, *k;
	size_t i;

	if (!strcmp(stage, "issues")) {
		json_array_foreach(pr.kernels, i, k)
			if (is_new(k))
				lay_issue_of(k);
	} else if (!strcmp(stage, "sglang")) {
		need(pr_lay_sglang(&pr, &err));
	} else {
		lay_pulls(names);
	}
	json_array_foreach(pr.items, i, it)
		json_object_set_new(it, "ready", json_boolean(pr_all_ok(
				    json_object_get(it, "checks"))));
	if (list_path && outfile_write(list_path, pr.list.buf, pr.list.len,
				       &err))
		die(EX_AGAIN, "%s", err.buf);
	list = json_pack("{s:s, s:s, s:o, s:O}", "outbox", pr.outbox, "stage",
			 stage, "names", names, "items", pr.items);
	if (json_save(list, out, &err))
		die(EX_AGAIN, "%s", err.buf);
}

/* ---- a list that was laid ---- */

static void take_items(const char *path)
{
	json_t *list = json_load_path(path, JSON_MAX_INDEX, &err), *items, *it;
	static const char *const texts[] = { "kind", "key", "folder", "repo",
					     "marker" };
	size_t i, k;

	items = list ? json_need_array(list, "items", path, &err) : NULL;
	need(!items);
	json_array_foreach(items, i, it) {
		for (k = 0; k < ARRAY_SIZE(texts); k++)
			need(!json_need_str(it, texts[k], path, &err));
		if (!json_string_value(json_array_get(json_object_get(it,
							"names"), 0)))
			die(EX_REFUSED, "%s: an item has no names", path);
	}
	json_decref(pr.items);
	pr.items = json_incref(items);
	json_decref(list);
}

static void say(const char *text)
{
	printf("%s\n", text);
}

static void step(size_t at, size_t of)
{
	progress("definitions", at, of);
}

/* Pulls of SGLang are waited for, until they are merged or closed. */
static bool waits(const struct pr_send *s)
{
	json_t *it;
	size_t i;

	json_array_foreach(pr.items, i, it)
		if (pr_is(it, "kind", "sglang") && json_get_str(it, "url") &&
		    !json_is_true(json_object_get(it, "merged")) &&
		    !pr_is(it, "status", "closed"))
			return true;
	return s->failed;
}

static void send_items(void)
{
	struct pr_send s = { .jobs = (int)jobs, .wanted = !no_submit,
			     .say = say, .step = step };
	json_t *list;

	take_items(send_path);
	pr_send(&pr, &s);
	list = json_pack("{s:s, s:I, s:I, s:I, s:I, s:O}", "list", send_path,
			 "sent", (json_int_t)s.sent, "unchanged",
			 (json_int_t)s.unchanged, "held", (json_int_t)s.held,
			 "failed", (json_int_t)s.failed, "items", pr.items);
	if (s.failed && !no_fail)
		die(s.code, "%zu not sent; the first: %s", s.failed, s.why);
	if (open_path && !waits(&s))
		unlink(open_path);
	if ((open_path && waits(&s) && outfile_write(open_path, "", 0, &err)) ||
	    json_save(list, out, &err))
		die(EX_AGAIN, "%s", err.buf);
	if (s.failed)
		warn("%zu not sent, the next run tries again; the first: %s",
		     s.failed, s.why);
}

static void print_checks(const json_t *it, size_t *bad)
{
	json_t *c;
	size_t i;

	printf("%s %s\n", json_get_str(it, "kind"), json_get_str(it, "key"));
	json_array_foreach(json_object_get(it, "checks"), i, c) {
		const json_t *ok = json_object_get(c, "ok");
		const char *mend = json_get_str(c, "mend");

		printf("  %-7s %s: %s\n", json_is_null(ok) ? "n/a" :
		       json_is_true(ok) ? "passed" : "FAILED",
		       json_get_str(c, "item"), json_get_str(c, "reason"));
		if (json_is_false(ok) && mend)
			printf("          mend: %s\n", mend);
		*bad += json_is_false(ok);
	}
}

static void check_items(void)
{
	size_t bad = 0, i;
	json_t *it;

	take_items(check_path);
	if (!no_submit)
		pr_check_sent(&pr);
	json_array_foreach(pr.items, i, it)
		print_checks(it, &bad);
	printf("%zu item(s), %zu check(s) failed\n",
	       json_array_size(pr.items), bad);
	if (bad)
		exit(done() ? EX_AGAIN : EX_REFUSED);
}

int main(int argc, char **argv)
{
	struct strbuf url_dir = STRBUF_INIT;

	if (opt_parse(argc, argv, &tool, options) != argc)
		opt_usage("no arguments are taken, only options");
	if (!pr.run || !pr.repos_path || !pr.index || !pr.outbox)
		opt_usage("--run, --repos, --index and --outbox are needed");
	if (strcmp(stage, "issues") && strcmp(stage, "sglang") &&
	    strcmp(stage, "prs"))
		opt_usage("--stage is issues, sglang or prs");
	if (jobs < 1 || (send_path && check_path))
		opt_usage("--jobs is at least 1; --send or --check, not both");
	strbuf_addf(&url_dir, "%s/url", pr.run);
	pr.urls = urls ? urls : url_dir.buf;
	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	need(pr_open(&pr, &err));
	if (send_path)
		send_items();
	else if (check_path)
		check_items();
	else
		lay();
	return done();
}
