#include "hub.h"
#include "die.h"
#include "git.h"
#include "outfile.h"
#include "proc.h"

#include <sys/stat.h>

static char *path_of(const char *kind, const char *owner, const char *name,
		     const char *end)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "%s/%s/%s/%s%s", hub_root, kind, owner, name, end);
	return strbuf_detach(&sb);
}

static bool is_plain(const char *s)
{
	return *s && *s != '.' && !strchr(s, '/');
}

char *store_git(const char *kind, const char *owner, const char *name)
{
	return path_of(kind, owner, name, ".git");
}

bool store_has(const char *kind, const char *owner, const char *name)
{
	char *git = store_git(kind, owner, name);
	bool yes = is_plain(owner) && is_plain(name) && !access(git, F_OK);

	free(git);
	return yes;
}

json_t *store_load(const char *kind, const char *owner, const char *name)
{
	char *path = path_of(kind, owner, name, ".json");
	struct strbuf no = STRBUF_INIT;
	json_t *db = json_load_path(path, JSON_MAX_INDEX, &no);

	free(path);
	strbuf_release(&no);
	return db ? db : json_pack("{s:i, s:{}}", "next", 1, "items");
}

void store_save(const char *kind, const char *owner, const char *name,
		const json_t *db)
{
	char *path = path_of(kind, owner, name, ".json");
	struct strbuf err = STRBUF_INIT;

	if (json_save(db, path, &err))
		die(EX_AGAIN, "%s", err.buf);
	free(path);
}

int store_run(const char *dir, const char *in, size_t in_len,
	      struct strbuf *out, const char *const *args)
{
	struct strbuf none = STRBUF_INIT, err = STRBUF_INIT;
	const char *argv[24] = { "git", "-C", dir };
	struct strbuf errs = STRBUF_INIT;
	struct proc p = { .argv = argv, .in = in, .in_len = in_len,
			  .out = out ? out : &none, .errs = &errs };
	size_t n = 3;
	int ret;

	while (*args && n + 1 < ARRAY_SIZE(argv))
		argv[n++] = *args++;
	ret = proc_run(&p, &err);
	if (ret < 0)
		die(EX_AGAIN, "%s", err.buf);
	if (out)
		strbuf_rtrim(out);
	strbuf_release(&none);
	strbuf_release(&errs);
	return ret;
}

bool store_commit(const char *dir, const char *rev, char hex[65])
{
	struct strbuf out = STRBUF_INIT, full = STRBUF_INIT;
	bool ok;

	strbuf_addf(&full, "%s^{commit}", rev);
	ok = *rev != '-' && !store_run(dir, NULL, 0, &out, (const char *[]){
		"rev-parse", "--verify", "-q", full.buf, NULL });
	if (ok)
		snprintf(hex, 65, "%s", out.buf);
	strbuf_release(&out);
	strbuf_release(&full);
	return ok;
}

bool store_blob(const char *dir, const char *rev, const char *path,
		char hex[65], struct strbuf *content)
{
	struct strbuf out = STRBUF_INIT, full = STRBUF_INIT;
	bool ok;

	strbuf_addf(&full, "%s:%s", rev, path);
	ok = *rev != '-' && !store_run(dir, NULL, 0, &out, (const char *[]){
		"rev-parse", "--verify", "-q", full.buf, NULL });
	if (ok)
		snprintf(hex, 65, "%s", out.buf);
	strbuf_reset(&out);
	if (ok && content) {
		struct proc p = { .argv = (const char *[]){ "git", "-C", dir,
			"cat-file", "blob", hex, NULL }, .out = content };
		struct strbuf err = STRBUF_INIT;

		ok = !proc_run(&p, &err);
		strbuf_release(&err);
	}
	strbuf_release(&out);
	strbuf_release(&full);
	return ok;
}

char *store_lfs(const char *oid)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "%s/lfs/%s", hub_root, oid);
	return strbuf_detach(&sb);
}

/*
 * A repository that has the objects and the HEAD of a clone that may be
 * shallow and partial, which git would not clone.
 */
static void borrow(const char *git, const char *clone)
{
	struct strbuf out = STRBUF_INIT, path = STRBUF_INIT, err = STRBUF_INIT;
	struct strbuf dir = STRBUF_INIT, text = STRBUF_INIT;
	char head[65];

	if (store_run(clone, NULL, 0, &dir, GIT_ARGS("rev-parse",
		      "--absolute-git-dir")) ||
	    !store_commit(clone, "HEAD", head))
		die(EX_REFUSED, "%s is no clone", clone);
	store_run("/", NULL, 0, NULL, GIT_ARGS("init", "-q", "--bare", "-b",
					       "main", git));
	strbuf_addf(&path, "%s/objects/info/alternates", git);
	strbuf_addf(&out, "%s/objects\n", dir.buf);
	if (outfile_write(path.buf, out.buf, out.len, &err))
		die(EX_AGAIN, "%s", err.buf);
	strbuf_reset(&path);
	strbuf_addf(&path, "%s/shallow", dir.buf);
	if (!strbuf_read_file(&text, path.buf, &err)) {
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/shallow", git);
		if (outfile_write(path.buf, text.buf, text.len, &err))
			die(EX_AGAIN, "%s", err.buf);
	}
	store_run(git, NULL, 0, NULL, GIT_ARGS("update-ref",
					       "refs/heads/main", head));
	strbuf_release(&out);
	strbuf_release(&path);
	strbuf_release(&dir);
	strbuf_release(&text);
	strbuf_release(&err);
}

/* An empty commit as the branch that HEAD names. */
static void first_commit(const char *git)
{
	struct strbuf tree = STRBUF_INIT, commit = STRBUF_INIT;

	store_run(git, "", 0, &tree, GIT_ARGS("mktree"));
	store_run(git, NULL, 0, &commit, GIT_ARGS("-c", "user.name=hub", "-c",
		  "user.email=hub@localhost", "commit-tree", "-m", "first",
		  tree.buf));
	store_run(git, NULL, 0, NULL, GIT_ARGS("update-ref", "HEAD",
					       commit.buf));
	strbuf_release(&tree);
	strbuf_release(&commit);
}

/*
 * "OWNER/NAME", "OWNER/NAME=WHAT GIT CLONES", or "OWNER/NAME=@CLONE" for the
 * commit that a clone is at.
 */
void store_make(const char *kind, const char *spec)
{
	char *copy = xstrdup(spec), *from = strchr(copy, '=');
	char *name = strchr(copy, '/'), *git;
	struct strbuf err = STRBUF_INIT;
	char commit[65] = "";

	if (from)
		*from++ = '\0';
	if (!name || !name[1])
		die(EX_USAGE, "'%s' is no OWNER/NAME", spec);
	*name++ = '\0';
	git = store_git(kind, copy, name);
	if (access(git, F_OK)) {
		if (outfile_mkdirs(git, &err))
			die(EX_AGAIN, "%s", err.buf);
		if (from && *from == '@')
			borrow(git, from + 1);
		else if (from ? store_run("/", NULL, 0, NULL, GIT_ARGS("-c",
				"protocol.file.allow=always", "clone", "-q",
				"--bare", from, git))
			      : store_run("/", NULL, 0, NULL, GIT_ARGS("init",
				"-q", "--bare", "-b", "main", git)))
			die(EX_REFUSED, "git made no %s of %s", git,
			    from ? from : "nothing");
		if (!store_commit(git, "HEAD", commit))
			first_commit(git);
		/* a clone's branch has its origin's name; here it is main */
		if (store_commit(git, "HEAD", commit)) {
			store_run(git, NULL, 0, NULL, GIT_ARGS("update-ref",
				  "refs/heads/main", commit));
			store_run(git, NULL, 0, NULL, GIT_ARGS("symbolic-ref",
				  "HEAD", "refs/heads/main"));
		}
	}
	free(git);
	free(copy);
	strbuf_release(&err);
}
