#include "pr.h"

bool pr_text(struct strbuf *sb, const json_t *it, const char *file,
		      struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	bool ok;

	strbuf_reset(sb);
	strbuf_addf(&path, "%s/%s", json_get_str(it, "folder"), file);
	ok = !strbuf_read_file(sb, path.buf, err);
	strbuf_release(&path);
	return ok;
}

static void command(struct strbuf *sb, const json_t *it)
{
	const char *kind = json_get_str(it, "kind");
	const char *dir = json_get_str(it, "folder");
	const char *repo = json_get_str(it, "repo");

	if (!strcmp(kind, "issue") || !strcmp(kind, "trace-template"))
		strbuf_addf(sb, "gh issue create --repo %s --title \"$(cat"
			    " %s/TITLE)\" --label \"$(cat %s/LABELS)\""
			    " --body-file %s/BODY.md\n", repo, dir, dir, dir);
	else if (!strcmp(kind, "dataset"))
		strbuf_addf(sb, "hf upload %s %s . --repo-type=dataset"
			    " --create-pr --exclude TITLE --exclude BODY.md"
			    " --commit-message \"$(cat %s/TITLE)\""
			    " --commit-description \"$(cat %s/BODY.md)\"\n",
			    repo, dir, dir, dir);
	else
		strbuf_addf(sb, "F=$PWD/%s && cd CLONE-OF-%s && git switch -c"
			    " %s && git %s && git push -u origin HEAD &&"
			    "\n  gh pr create --repo %s --head %s --title"
			    " \"$(cat $F/TITLE)\" --body-file $F/BODY.md%s\n",
			    dir, strrchr(repo, '/') + 1,
			    json_get_str(it, "branch"),
			    !strcmp(kind, "sglang") ? "am $F/sglang.patch" :
			    "apply $F/model_coverage.diff && git commit -aqF"
			    " $F/COMMIT", repo, json_get_str(it, "branch"),
			    !strcmp(kind, "sglang") ? " --draft" : "");
}

void pr_by_hand(const json_t *it, struct strbuf *sb)
{
	static const char *const diffs[] = { "sglang.patch",
					     "model_coverage.diff" };
	struct strbuf text = STRBUF_INIT, no = STRBUF_INIT;
	size_t i;

	strbuf_addstr(sb, "to file it by hand:\n  ");
	command(sb, it);
	for (i = 0; i < ARRAY_SIZE(diffs); i++)
		if (pr_text(&text, it, diffs[i], &no))
			strbuf_addf(sb, "\n%s\n", text.buf);
	if (pr_text(&text, it, "TITLE", &no))
		strbuf_addf(sb, "\n%s", text.buf);
	if (pr_text(&text, it, "BODY.md", &no))
		strbuf_addf(sb, "\n%s\n", text.buf);
	strbuf_release(&text);
	strbuf_release(&no);
}
