/* hf.c - the Hub: datasets, LFS and discussions, as huggingface_hub asks. */
#include "hub.h"
#include "git.h"
#include "outfile.h"
#include "sha256.h"

#include <microhttpd.h>
#include <sys/stat.h>

/* part[0], part[1] and a revision; "main" is the default. */
bool hf_dataset(struct request *rq, struct dataset *d, const char *rev)
{
	char sha[65];

	d->owner = rq->part[0];
	d->name = rq->part[1];
	d->git = NULL;
	if (!store_has("hub", d->owner, d->name)) {
		hub_header(rq, "X-Error-Code", "RepoNotFound");
		hub_refuse(rq, 404, "Repository not found");
		return false;
	}
	d->git = store_git("hub", d->owner, d->name);
	snprintf(d->rev, sizeof(d->rev), "%s", rev);
	if (store_commit(d->git, d->rev, sha))
		return true;
	hub_header(rq, "X-Error-Code", "RevisionNotFound");
	hub_refuse(rq, 404, "Invalid rev id: %s", rev);
	return false;
}

/* ---- files ---- */

struct file {
	char oid[65];		/* of git's blob */
	char lfs[65];		/* sha256 of the object; "" for a plain file */
	size_t size;		/* of the file itself */
	struct strbuf data;	/* of a plain file */
};

static void read_pointer(struct file *f)
{
	const char *oid = strstr(f->data.buf, "\noid sha256:");
	const char *size = strstr(f->data.buf, "\nsize ");

	if (strncmp(f->data.buf, "version https://git-lfs", 23) || !oid ||
	    !size || strspn(oid + 12, "0123456789abcdef") < 64)
		return;
	snprintf(f->lfs, sizeof(f->lfs), "%.64s", oid + 12);
	f->size = strtoul(size + 6, NULL, 10);
}

static bool find_file(const struct dataset *d, const char *path,
		      struct file *f)
{
	*f = (struct file){ .data = STRBUF_INIT };
	if (!store_blob(d->git, d->rev, path, f->oid, &f->data))
		return false;
	f->size = f->data.len;
	read_pointer(f);
	return true;
}

bool hf_is_lfs(const char *path, size_t size)
{
	static const char *const tails[] = { ".safetensors", ".bin", ".pt",
		".parquet", ".gz", ".zip", ".zst" };
	const char *dot = strrchr(path, '.');
	size_t i;

	for (i = 0; dot && i < ARRAY_SIZE(tails); i++)
		if (!strcmp(dot, tails[i]))
			return true;
	return size > (size_t)10 << 20;
}

/* {PATH: id} of all files of the revision, by one git. */
static json_t *tree_of(const struct dataset *d)
{
	struct strbuf out = STRBUF_INIT;
	json_t *tree = json_object();
	char *p, *nl, *tab;

	store_run(d->git, NULL, 0, &out, GIT_ARGS("-c", "core.quotePath=false",
						  "ls-tree", "-r", d->rev));
	for (p = out.buf; *p; p = *nl ? nl + 1 : nl) {
		nl = p + strcspn(p, "\n");
		tab = memchr(p, '\t', (size_t)(nl - p));
		if (tab && tab - p > 40) {
			char *path = xstrndup(tab + 1, (size_t)(nl - tab - 1));

			json_object_set_new(tree, path, json_stringn(tab - 40,
								     40));
			free(path);
		}
	}
	strbuf_release(&out);
	return tree;
}

static void preupload(struct request *rq, struct dataset *d)
{
	json_t *b = hub_body(rq), *out, *v, *o, *tree;
	struct file f;
	size_t i;

	if (!b)
		return;
	tree = tree_of(d);
	out = json_array();
	json_array_foreach(json_object_get(b, "files"), i, v) {
		const char *path = json_get_str(v, "path"), *oid;
		json_int_t size = json_integer_value(json_object_get(v,
								"size"));
		bool lfs = hf_is_lfs(path ? path : "", (size_t)size);

		o = json_pack("{s:s, s:s, s:b}", "path", path ? path : "",
			      "uploadMode", lfs ? "lfs" : "regular",
			      "shouldIgnore", 0);
		oid = path ? json_get_str(tree, path) : NULL;
		if (oid && lfs && find_file(d, path, &f)) {
			oid = *f.lfs ? f.lfs : oid;
			json_object_set_new(o, "oid", json_string(oid));
			strbuf_release(&f.data);
		} else if (oid) {
			json_object_set_new(o, "oid", json_string(oid));
		}
		json_array_append_new(out, o);
	}
	hub_answer(rq, 200, json_pack("{s:o, s:s}", "files", out, "commitOid",
				      d->rev));
	json_decref(b);
	json_decref(tree);
}

/* {paths: [...]} as JSON, or as the form that huggingface_hub sends. */
static json_t *paths_of(const struct request *rq)
{
	struct strbuf no = STRBUF_INIT;
	json_t *b = json_parse(rq->body, rq->body_len, "body", &no), *out;
	char *copy, *one, *save = NULL, *v;

	strbuf_release(&no);
	out = json_incref(json_object_get(b, "paths"));
	json_decref(b);
	if (out)
		return out;
	out = json_array();
	copy = xstrndup(rq->body, rq->body_len);
	for (one = strtok_r(copy, "&", &save); one;
	     one = strtok_r(NULL, "&", &save)) {
		if (strncmp(one, "paths=", 6))
			continue;
		for (v = one + 6; *v; v++)
			*v = *v == '+' ? ' ' : *v;
		MHD_http_unescape(one + 6);
		json_array_append_new(out, json_string(one + 6));
	}
	free(copy);
	return out;
}

static void paths_info(struct request *rq, struct dataset *d)
{
	json_t *paths = paths_of(rq), *v, *o, *out = json_array();
	size_t i;

	json_array_foreach(paths, i, v) {
		struct file f;

		if (!find_file(d, json_string_value(v), &f))
			continue;
		o = json_pack("{s:s, s:O, s:s, s:I}", "type", "file", "path",
			      v, "oid", f.oid, "size", (json_int_t)f.size);
		if (*f.lfs)
			json_object_set_new(o, "lfs", json_pack(
				"{s:s, s:I, s:I}", "oid", f.lfs, "size",
				(json_int_t)f.size, "pointerSize",
				(json_int_t)f.data.len));
		json_array_append_new(out, o);
		strbuf_release(&f.data);
	}
	hub_answer(rq, 200, out);
	json_decref(paths);
}

static void resolve(struct request *rq, struct dataset *d, const char *path)
{
	struct strbuf err = STRBUF_INIT;
	char sha[65] = "", *object;
	struct file f;

	store_commit(d->git, d->rev, sha);
	hub_header(rq, "X-Repo-Commit", "%s", sha);
	if (!find_file(d, path, &f)) {
		hub_header(rq, "X-Error-Code", "EntryNotFound");
		hub_refuse(rq, 404, "Entry not found");
		return;
	}
	hub_header(rq, "ETag", "\"%s\"", *f.lfs ? f.lfs : f.oid);
	rq->status = 200;
	rq->type = "application/octet-stream";
	if (*f.lfs) {
		hub_header(rq, "X-Linked-Size", "%zu", f.size);
		object = store_lfs(f.lfs);
		if (strbuf_read_file(&rq->raw, object, &err))
			hub_refuse(rq, 404, "%s", err.buf);
		free(object);
	} else {
		strbuf_add(&rq->raw, f.data.buf, f.data.len);
	}
	strbuf_release(&f.data);
	strbuf_release(&err);
}

/* ---- commits ---- */

static void add_pointer(struct strbuf *in, const char *path, const char *oid,
			json_int_t size)
{
	struct strbuf p = STRBUF_INIT;

	strbuf_addf(&p, "version https://git-lfs.github.com/spec/v1\n"
		    "oid sha256:%s\nsize %lld\n", oid, (long long)size);
	strbuf_addf(in, "M 100644 inline %s\ndata %zu\n%s\n", path, p.len,
		    p.buf);
	strbuf_release(&p);
}

/* A line of the NDJSON as a command of git fast-import; -1: refused. */
static int add_line(struct request *rq, struct strbuf *in, const json_t *line)
{
	const json_t *v = json_object_get(line, "value");
	const char *key = json_get_str(line, "key");
	const char *path = json_get_str(v, "path"), *oid, *text;
	struct strbuf data = STRBUF_INIT, err = STRBUF_INIT;
	struct stat st;
	char *object;
	int ret = -1;

	if (!key || !path || *path == '/' || strstr(path, "..") ||
	    strpbrk(path, "\n\"")) {
		hub_refuse(rq, 400, "a line of the commit is not valid");
		return -1;
	}
	if (!strcmp(key, "file")) {
		text = json_get_str(v, "content");
		if (!text || base64_decode(&data, text, &err)) {
			hub_refuse(rq, 400, "content of %s", path);
		} else if (hf_is_lfs(path, data.len)) {
			hub_refuse(rq, 400, "%s is to be an LFS file", path);
		} else {
			strbuf_addf(in, "M 100644 inline %s\ndata %zu\n", path,
				    data.len);
			strbuf_add(in, data.buf, data.len);
			strbuf_addch(in, '\n');
			ret = 0;
		}
	} else if (!strcmp(key, "lfsFile")) {
		oid = json_get_str(v, "oid");
		object = store_lfs(hf_is_oid(oid) ? oid : "none");
		if (!hf_is_oid(oid) || stat(object, &st)) {
			hub_refuse(rq, 400, "LFS pointer pointed to a file"
				   " that does not exist");
		} else {
			add_pointer(in, path, oid, st.st_size);
			ret = 0;
		}
		free(object);
	} else if (!strcmp(key, "deletedFile")) {
		strbuf_addf(in, "D %s\n", path);
		ret = 0;
	} else {
		hub_refuse(rq, 400, "'%s' is not known", key);
	}
	strbuf_release(&data);
	strbuf_release(&err);
	return ret;
}

static json_int_t open_pull(struct dataset *d, const char *user,
			    const char *title, const char *body)
{
	json_t *db = store_load("hub", d->owner, d->name), *it;
	json_int_t n = json_integer_value(json_object_get(db, "next"));
	struct strbuf repo = STRBUF_INIT;
	char key[24];

	strbuf_addf(&repo, "%s/%s", d->owner, d->name);
	it = json_pack("{s:I, s:s, s:s, s:b, s:s, s:{s:s}, s:{s:s, s:s},"
		       " s:[o], s:{s:s}}", "num", n, "title", title, "status",
		       "open", "isPullRequest", 1, "createdAt",
		       "2026-01-01T00:00:00.000Z", "author", "name", user,
		       "repo", "name", repo.buf, "type", "dataset", "events",
		       hf_comment(user, body, 0), "changes", "base",
		       "refs/heads/main");
	snprintf(key, sizeof(key), "%lld", (long long)n);
	json_object_set_new(json_object_get(db, "items"), key, it);
	json_object_set_new(db, "next", json_integer(n + 1));
	store_save("hub", d->owner, d->name, db);
	json_decref(db);
	strbuf_release(&repo);
	return n;
}

static void commit(struct request *rq, struct dataset *d)
{
	const char *create = rq->query(rq, "create_pr"), *nl, *p = rq->body;
	struct strbuf in = STRBUF_INIT, no = STRBUF_INIT, url = STRBUF_INIT;
	struct strbuf ref = STRBUF_INIT, lines = STRBUF_INIT;
	const char *summary = "", *text = "";
	json_t *line, *header = NULL, *out;
	char parent[65], sha[65] = "";
	json_int_t n = 0;
	bool pull = create && !strcmp(create, "1"), files = false;

	store_commit(d->git, d->rev, parent);
	for (; p < rq->body + rq->body_len; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(rq->body + rq->body_len - p));
		if (!nl)
			break;
		line = json_parse(p, (size_t)(nl - p), "a line", &no);
		if (!line) {
			hub_refuse(rq, 400, "%s", no.buf);
			goto out;
		}
		if (!header && !strcmp(json_get_str(line, "key") ?
				       json_get_str(line, "key") : "",
				       "header")) {
			header = json_incref(json_object_get(line, "value"));
			json_decref(line);
			continue;
		}
		if (add_line(rq, &lines, line)) {
			json_decref(line);
			goto out;
		}
		files = true;
		json_decref(line);
	}
	summary = json_get_str(header, "summary");
	text = json_get_str(header, "description");
	text = text ? text : "";
	if (!summary || !*summary || !files) {
		hub_refuse(rq, 400, "a commit needs a summary and files");
		goto out;
	}
	if (!pull && strncmp(d->rev, "refs/pr/", 8) &&
	    !hub_may_write(rq->user)) {
		hub_refuse(rq, 403, "you may not write to %s", d->rev);
		goto out;
	}
	if (pull) {
		n = open_pull(d, rq->user, summary, text);
		strbuf_addf(&ref, "refs/pr/%lld", (long long)n);
	} else {
		strbuf_addf(&ref, "%s%s", strncmp(d->rev, "refs/", 5) ?
			    "refs/heads/" : "", d->rev);
	}
	strbuf_addf(&in, "commit %s\ncommitter %s <%s@localhost> 1767225600"
		    " +0000\ndata %zu\n%s\nfrom %s\n", ref.buf, rq->user,
		    rq->user, strlen(summary), summary, parent);
	strbuf_add(&in, lines.buf, lines.len);
	if (store_run(d->git, in.buf, in.len, NULL, GIT_ARGS("fast-import",
						"--quiet", "--force"))) {
		hub_refuse(rq, 500, "git fast-import failed");
		goto out;
	}
	store_commit(d->git, ref.buf, sha);
	strbuf_addf(&url, "%s/datasets/%s/%s", hub_url, d->owner, d->name);
	strbuf_reset(&in);
	strbuf_addf(&in, "%s/commit/%s", url.buf, sha);
	out = json_pack("{s:b, s:s, s:s}", "success", 1, "commitOid", sha,
			"commitUrl", in.buf);
	if (pull) {
		strbuf_addf(&url, "/discussions/%lld", (long long)n);
		json_object_set_new(out, "pullRequestUrl",
				    json_string(url.buf));
	}
	hub_answer(rq, 200, out);
out:
	json_decref(header);
	strbuf_release(&in);
	strbuf_release(&no);
	strbuf_release(&url);
	strbuf_release(&ref);
	strbuf_release(&lines);
}

/* ---- routes ---- */

#define D "/api/datasets/*/*"

/* "refs/pr/N/PATH" or "REV/PATH" */
static const char *split_rev(const char *rest, char rev[256])
{
	size_t n = 0;

	if (!strncmp(rest, "refs/pr/", 8))
		n = 8;
	n += strcspn(rest + n, "/");
	snprintf(rev, 256, "%.*s", (int)(n < 255 ? n : 255), rest);
	return rest[n] ? rest + n + 1 : rest + n;
}

bool hf_serve(struct request *rq)
{
	struct dataset d = { .git = NULL };
	const char *path;
	char rev[256];
	bool yes = true;

	if (hub_route(rq, "GET", "/api/whoami-v2")) {
		if (hub_user(rq))
			hub_answer(rq, 200, json_pack("{s:s, s:s, s:[]}",
				   "type", "user", "name", rq->user, "orgs"));
	} else if (hub_route(rq, "POST", D "/preupload/**")) {
		if (hub_user(rq) && hf_dataset(rq, &d, rq->rest))
			preupload(rq, &d);
	} else if (hub_route(rq, "POST", D "/paths-info/**")) {
		if (hf_dataset(rq, &d, rq->rest))
			paths_info(rq, &d);
	} else if (hub_route(rq, "POST", D "/commit/**")) {
		if (hub_user(rq) && hf_dataset(rq, &d, rq->rest))
			commit(rq, &d);
	} else if (hub_route(rq, "GET", "/datasets/*/*/resolve/**")) {
		path = split_rev(rq->rest, rev);
		if (hf_dataset(rq, &d, rev))
			resolve(rq, &d, path);
	} else if (hub_route(rq, "GET", D)) {
		if (hf_dataset(rq, &d, "main"))
			hub_answer(rq, 200, json_pack("{s:s, s:s}", "id",
				   rq->part[1], "sha", d.rev));
	} else {
		yes = hf_lfs(rq) || hf_discussions(rq, &d);
	}
	free(d.git);
	return yes;
}
