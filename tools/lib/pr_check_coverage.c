#include "pr.h"
#include "outfile.h"
#include "proc.h"

/* The row of NAME in a page's text, or NULL; *len its length. */
static const char *row_of(const char *page, const char *name, size_t *len)
{
	struct strbuf head = STRBUF_INIT;
	const char *row;

	strbuf_addf(&head, "| `%s` |", name);
	row = page ? strstr(page, head.buf) : NULL;
	*len = row ? strcspn(row, "\n") : 0;
	strbuf_release(&head);
	return row;
}

void pr_check_coverage(struct pr *p, const json_t *k, const char *before,
		       const char *after, json_t *checks)
{
	const char *name = json_get_str(k, "definition_name"), *row;
	bool missing = pr_is(k, "fi_status", "fi_missing");
	char *issue = pr_url(p, name, "issue");
	struct strbuf mend = STRBUF_INIT;
	size_t n;

	strbuf_addf(&mend, "make MODEL=%s SOURCE=git onboard", p->slug);
	row = row_of(after, name, &n);
	if (!after)
		pr_check(checks, "Coverage", 0, mend.buf, "the page of"
			 " flashinfer-bench is not at hand");
	else if (!row)
		pr_check(checks, "Coverage", 0, mend.buf, "the model's section"
			 " has no row for it");
	else if (!strcmp(before, after))
		pr_check(checks, "Coverage", 0, NULL, "the page says so"
			 " already: there is nothing to change");
	else
		pr_check(checks, "Coverage", 1, NULL, "%.*s", (int)n, row);
	pr_check(checks, "Single-file change", 1, NULL,
		 "docs/model_coverage.mdx");
	if (missing)
		pr_check(checks, "fi_missing note", issue != NULL,
			 "GH_TOKEN=... make onboard files the kernel request",
			 "%s", issue ? issue : "the kernel request has no"
			 " number yet");
	else
		pr_check(checks, "fi_missing note", PR_NONE, NULL,
			 "FlashInfer has the kernel");
	free(issue);
	strbuf_release(&mend);
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	char *copy = xstrdup(path ? path : ""), *save = NULL, *dir;
	struct strbuf full = STRBUF_INIT;
	bool yes = false;

	for (dir = strtok_r(copy, ":", &save); dir && !yes;
	     dir = strtok_r(NULL, ":", &save)) {
		strbuf_reset(&full);
		strbuf_addf(&full, "%s/%s", dir, program);
		yes = !access(full.buf, X_OK);
	}
	free(copy);
	strbuf_release(&full);
	return yes;
}

static int copy_config(const char *from, const char *to, struct strbuf *err)
{
	struct strbuf sb = STRBUF_INIT;
	int ret = strbuf_read_file(&sb, from, err) ||
		outfile_write(to, sb.buf, sb.len, err) ? -1 : 0;

	strbuf_release(&sb);
	return ret;
}

void pr_check_pre_commit(const struct pr *p, const char *clone,
			 const char *path, const struct strbuf *text,
			 json_t *checks)
{
	struct strbuf config = STRBUF_INIT, file = STRBUF_INIT;
	struct strbuf out = STRBUF_INIT, err = STRBUF_INIT;
	char dir[] = "/tmp/onboard-pre-commit.XXXXXX";
	struct proc proc = { .out = &out };
	int ret;

	strbuf_addf(&config, "%s/%s/.pre-commit-config.yaml", p->root, clone);
	if (!in_path("pre-commit") || access(config.buf, R_OK)) {
		pr_check(checks, "pre-commit", PR_NONE, NULL, "%s",
			 in_path("pre-commit") ? "the clone has no"
			 " .pre-commit-config.yaml" :
			 "pre-commit is not installed here");
		goto out;
	}
	if (!mkdtemp(dir)) {
		pr_check(checks, "pre-commit", 0, NULL, "unable to make a"
			 " folder: %s", strerror(errno));
		goto out;
	}
	strbuf_addf(&file, "%s/.pre-commit-config.yaml", dir);
	ret = copy_config(config.buf, file.buf, &err);
	strbuf_reset(&file);
	strbuf_addf(&file, "%s/%s", dir, path);
	if (!ret)
		ret = outfile_write(file.buf, text->buf, text->len, &err);
	proc.argv = (const char *[]){ "sh", "-c", "cd \"$0\" && git init -q &&"
		" git add -A && timeout 300 pre-commit run --files \"$1\""
		" 2>&1", dir, path, NULL };
	if (!ret)
		ret = proc_run(&proc, &err);
	strbuf_rtrim(&out);
	pr_check(checks, "pre-commit", !ret, "pre-commit run --all-files in"
		 " the clone, with the patch applied", "%s", !ret ? "clean" :
		 err.len ? err.buf : out.len ? out.buf : "it failed");
	outfile_remove_tree(dir, &err);
out:
	strbuf_release(&config);
	strbuf_release(&file);
	strbuf_release(&out);
	strbuf_release(&err);
}
