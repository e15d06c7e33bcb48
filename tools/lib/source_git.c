#include "git.h"
#include "outfile.h"
#include "sha256.h"
#include "source.h"

#include <sys/stat.h>

struct work {
	const struct source *s;
	char *dir, *part, *url;
	const char *ref;
	bool bundle;
	int *code;
	struct strbuf *err;
};

static int git(struct work *w, const char *dir, struct strbuf *out,
	       const char *const *args)
{
	bool temporary = false;
	struct git_call c = { .dir = dir, .args = args, .out = out,
			      .temporary = &temporary };
	int ret = git_run(&c, w->err);

	if (ret)
		*w->code = temporary ? EX_AGAIN : EX_REFUSED;
	return ret;
}

static char *path_of(const struct source *s, const char *prefix,
		     const char *suffix)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "%s/%s%s%s", s->root, prefix,
		    json_get_str(s->wish, "dir"), suffix);
	return strbuf_detach(&sb);
}

/* git ignores --depth and --filter for plain paths: make them file:// URLs */
static void set_url(struct work *w)
{
	const char *u = w->s->url ? w->s->url : json_get_str(w->s->wish, "url");
	struct strbuf sb = STRBUF_INIT;
	const char *path = !strncmp(u, "file://", 7) ? u + 7 : u;
	char *real = realpath(path, NULL);
	struct stat st;

	if (real && !stat(real, &st)) {
		w->bundle = S_ISREG(st.st_mode);
		strbuf_addf(&sb, "%s%s", w->bundle ? "" : "file://", real);
	} else {
		strbuf_addstr(&sb, u);
	}
	free(real);
	w->url = strbuf_detach(&sb);
}

struct lines {
	const struct source *s;
	struct strbuf line;
};

/* git separates progress by CR: hand on the latest line only */
static void on_progress(void *data, const char *text, size_t len)
{
	struct lines *l = data;
	size_t i;

	for (i = 0; i < len; i++) {
		if (text[i] != '\r' && text[i] != '\n') {
			strbuf_addch(&l->line, text[i]);
			continue;
		}
		if (l->line.len)
			l->s->progress(l->s->data, l->line.buf);
		strbuf_reset(&l->line);
	}
}

static int fetch_with(struct work *w, const char *dir, const char *depth)
{
	const char *args[16];
	bool temporary = false;
	struct lines l = { w->s, STRBUF_INIT_MAX(4096) };
	struct git_call c = { .dir = dir, .args = args,
			      .temporary = &temporary,
			      .on_err = w->s->progress ? on_progress : NULL,
			      .data = &l };
	size_t n = 0;
	int ret;

	args[n++] = "fetch";
	args[n++] = w->s->progress ? "--progress" : "--quiet";
	args[n++] = "--no-tags";
	args[n++] = "--force";
	args[n++] = "--no-recurse-submodules";
	args[n++] = "--no-write-commit-graph";
	if (!w->bundle) {
		args[n++] = depth;
		args[n++] = "--filter=blob:none";
	}
	args[n++] = "origin";
	args[n++] = w->ref;
	args[n] = NULL;
	ret = git_run(&c, w->err);
	if (ret)
		*w->code = temporary ? EX_AGAIN : EX_REFUSED;
	strbuf_release(&l.line);
	return ret;
}

static int fetch(struct work *w, const char *dir)
{
	struct strbuf since = STRBUF_INIT, first = STRBUF_INIT;
	int ret;

	if (!w->s->since || !json_is_true(json_object_get(w->s->wish,
							  "history")))
		return fetch_with(w, dir, "--depth=1");
	/* a window without commits is an error to git, not to us */
	strbuf_addf(&since, "--shallow-since=%s", w->s->since);
	strbuf_add(&first, w->err->buf, w->err->len);
	ret = fetch_with(w, dir, since.buf);
	if (ret && *w->code != EX_AGAIN) {
		strbuf_reset(w->err);
		strbuf_add(w->err, first.buf, first.len);
		ret = fetch_with(w, dir, "--depth=1");
	} else if (!ret && !w->bundle) {
		/* one more, so that what the oldest of them adds shows */
		ret = fetch_with(w, dir, "--deepen=1");
	}
	strbuf_release(&since);
	strbuf_release(&first);
	return ret;
}

static int configure(struct work *w, const char *dir)
{
	const json_t *paths = json_object_get(w->s->wish, "paths");
	const char *args[32] = { "sparse-checkout", "set", "--no-cone" };
	size_t i, n = 3;

	if (git(w, dir, NULL, GIT_ARGS("config", "remote.origin.url",
				       w->url)))
		return -1;
	for (i = 0; i < json_array_size(paths) && n < 31; i++)
		args[n++] = json_string_value(json_array_get(paths, i));
	args[n] = NULL;
	return n > 3 ? git(w, dir, NULL, args) : 0;
}

static int refuse_dirty(struct work *w)
{
	struct strbuf out = STRBUF_INIT;
	int ret = git(w, w->dir, &out, GIT_ARGS("status", "--porcelain",
						"--untracked-files=no"));

	if (!ret && out.len) {
		strbuf_addf(w->err, "%s has local edits (%.*s); commit them to"
			    " a branch, stash or undo them, then fetch again",
			    w->dir, (int)strcspn(out.buf, "\n"), out.buf);
		*w->code = EX_REFUSED;
		ret = -1;
	}
	strbuf_release(&out);
	return ret;
}

/*
 * Upstream published what we had generated: remove our file if it is as we
 * wrote it. Anything else in the way is somebody's work: refused by name.
 */
static int give_way(struct work *w, bool unborn)
{
	struct strbuf theirs = STRBUF_INIT, path = STRBUF_INIT;
	struct strbuf prov = STRBUF_INIT, no = STRBUF_INIT;
	char hex[SHA256_HEX], *p, *end;
	int ret = unborn
		? git(w, w->dir, &theirs,
		      GIT_ARGS("ls-tree", "-r", "--name-only", "-z",
			       "FETCH_HEAD"))
		: git(w, w->dir, &theirs,
		      GIT_ARGS("diff", "--name-only", "--no-renames", "-z",
			       "--diff-filter=A", "HEAD", "FETCH_HEAD"));

	for (p = theirs.buf; !ret && p < theirs.buf + theirs.len;
	     p += strlen(p) + 1) {
		const char *base = strrchr(p, '/');
		json_t *j = NULL;

		strbuf_reset(&path);
		strbuf_addf(&path, "%s/%s", w->dir, p);
		if (access(path.buf, F_OK))
			continue;
		strbuf_reset(&prov);
		if (w->s->ours && base)
			strbuf_addf(&prov, "%s%s", w->s->ours, base);
		end = strrchr(path.buf, '.');
		if (prov.len && end && !strcmp(end, ".json"))
			j = json_load_path(prov.buf, 1 << 20, &no);
		if (j && !sha256_file(hex, path.buf, &no) &&
		    json_array_has(json_object_get(j, "sha256"), hex)) {
			unlink(path.buf);
		} else {
			strbuf_addf(w->err, "%s is not of this clone, and"
				    " upstream now has a file of that name;"
				    " move it away, then fetch again",
				    path.buf);
			*w->code = EX_REFUSED;
			ret = -1;
		}
		json_decref(j);
	}
	strbuf_release(&theirs);
	strbuf_release(&path);
	strbuf_release(&prov);
	strbuf_release(&no);
	return ret;
}

/* In a partial clone this is where the files come over the network. */
static int checkout(struct work *w, const char *dir)
{
	if (w->s->progress)
		w->s->progress(w->s->data, "fetching the files that are read");
	return git(w, dir, NULL, GIT_ARGS("checkout", "-q", "--detach",
					  "FETCH_HEAD"));
}

static int update(struct work *w)
{
	bool unborn;
	int ret;

	unborn = git(w, w->dir, NULL, GIT_ARGS("rev-parse", "--verify", "-q",
					       "HEAD"));
	if (unborn)
		strbuf_reset(w->err);
	ret = (unborn ? 0 : refuse_dirty(w)) || configure(w, w->dir) ||
		fetch(w, w->dir) || give_way(w, unborn) ||
		checkout(w, w->dir);
	return ret ? -1 : 0;
}

/* A folder with files of ours (made while there was no clone) becomes one. */
static int adopt(struct work *w)
{
	struct strbuf from = STRBUF_INIT, to = STRBUF_INIT;
	int ret;

	strbuf_addf(&from, "%s/.git", w->part);
	strbuf_addf(&to, "%s/.git", w->dir);
	ret = rename(from.buf, to.buf);
	if (ret) {
		strbuf_addf(w->err, "unable to make %s a clone: %s", w->dir,
			    strerror(errno));
		*w->code = EX_AGAIN;
	}
	strbuf_release(&from);
	strbuf_release(&to);
	if (ret)
		return -1;
	return update(w);
}

static int start_part(struct work *w)
{
	if (outfile_remove_tree(w->part, w->err)) {
		*w->code = EX_AGAIN;
		return -1;
	}
	return git(w, NULL, NULL, GIT_ARGS("init", "-q", w->part)) ||
		configure(w, w->part) ? -1 : 0;
}

static int fresh(struct work *w)
{
	struct strbuf mark = STRBUF_INIT, no = STRBUF_INIT;
	struct stat st;
	bool there = !stat(w->dir, &st);
	int ret = -1;

	strbuf_addf(&mark, "%s/.onboard-pypi.json", w->dir);
	if (start_part(w))
		goto out;
	if (there && access(mark.buf, F_OK)) {
		ret = adopt(w);
		goto out;
	}
	if (fetch(w, w->part) || checkout(w, w->part))
		goto out;
	if (there && outfile_remove_tree(w->dir, w->err))
		goto out;
	if (rename(w->part, w->dir)) {
		strbuf_addf(w->err, "unable to make %s: %s", w->dir,
			    strerror(errno));
		*w->code = EX_AGAIN;
		goto out;
	}
	ret = 0;
out:
	if (ret)
		outfile_remove_tree(w->part, &no);
	else
		outfile_remove_tree(w->part, w->err);
	strbuf_release(&mark);
	strbuf_release(&no);
	return ret;
}

static json_t *entry(struct work *w)
{
	struct strbuf out = STRBUF_INIT;
	json_t *j = NULL;

	if (!git(w, w->dir, &out, GIT_ARGS("log", "-1", "--format=%H %cs")) &&
	    out.len >= 51) {
		strbuf_rtrim(&out);
		j = json_pack("{s:s, s:s#, s:s#, s:s, s:s, s:s}",
			      "kind", "git", "id", out.buf, 40,
			      "short", out.buf, 7, "ref", w->ref,
			      "origin", w->url, "date", out.buf + 41);
	}
	strbuf_release(&out);
	return j;
}

json_t *source_git(const struct source *s, int *code, struct strbuf *err)
{
	struct work w = { .s = s, .code = code, .err = err,
			  .dir = path_of(s, "", ""),
			  .part = path_of(s, ".", ".part") };
	struct strbuf dotgit = STRBUF_INIT;
	json_t *j = NULL;

	*code = EX_REFUSED;
	w.ref = s->ref ? s->ref : json_get_str(s->wish, "ref");
	if (w.ref[0] == '-') {
		strbuf_addf(err, "%s: '%s' is no ref", s->name, w.ref);
	} else {
		set_url(&w);
		strbuf_addf(&dotgit, "%s/.git", w.dir);
		if (!(access(dotgit.buf, F_OK) ? fresh(&w) : update(&w)))
			j = entry(&w);
	}
	strbuf_release(&dotgit);
	free(w.dir);
	free(w.part);
	free(w.url);
	return j;
}
