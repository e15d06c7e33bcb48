/* hf.c - the Hub: datasets, LFS and discussions, as huggingface_hub asks. */
#include "hub.h"
#include "git.h"
#include "outfile.h"
#include "sha256.h"

#include <microhttpd.h>
#include <sys/stat.h>

struct dataset {
	const char *owner, *name;
	char *git;
	char rev[256];		/* a ref or a commit */
};

/* part[0], part[1] and a revision; "main" is the default. */
static bool dataset_of(struct request *rq, struct dataset *d, const char *rev)
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

static bool is_lfs(const char *path, size_t size)
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
		bool lfs = is_lfs(path ? path : "", (size_t)size);

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

/* ---- LFS ---- */

static bool is_oid(const char *s)
{
	return s && strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static json_t *upload_action(const char *oid, size_t size)
{
	struct strbuf url = STRBUF_INIT, verify = STRBUF_INIT;
	json_t *header = json_object(), *j;
	size_t parts, i;
	char key[8];

	strbuf_addf(&verify, "%s/lfs/verify", hub_url);
	if (size > hub_part_size) {
		parts = (size + hub_part_size - 1) / hub_part_size;
		strbuf_addf(&url, "%zu", hub_part_size);
		json_object_set_new(header, "chunk_size",
				    json_string(url.buf));
		for (i = 1; i <= parts; i++) {
			snprintf(key, sizeof(key), "%05zu", i);
			strbuf_reset(&url);
			strbuf_addf(&url, "%s/lfs/part/%s/%zu?signature=x",
				    hub_url, oid, i);
			json_object_set_new(header, key, json_string(url.buf));
		}
		strbuf_reset(&url);
		strbuf_addf(&url, "%s/lfs/complete/%s", hub_url, oid);
	} else {
		strbuf_addf(&url, "%s/lfs/object/%s?signature=x", hub_url,
			    oid);
	}
	j = json_pack("{s:{s:s, s:o}, s:{s:s}}", "upload", "href", url.buf,
		      "header", header, "verify", "href", verify.buf);
	strbuf_release(&url);
	strbuf_release(&verify);
	return j;
}

static void lfs_batch(struct request *rq)
{
	json_t *b = hub_body(rq), *out, *v, *o;
	struct stat st;
	char *path;
	size_t i;

	if (!b)
		return;
	out = json_array();
	json_array_foreach(json_object_get(b, "objects"), i, v) {
		const char *oid = json_get_str(v, "oid");
		json_int_t size = json_integer_value(json_object_get(v,
								"size"));

		o = json_pack("{s:s, s:I}", "oid", oid ? oid : "", "size",
			      size);
		path = store_lfs(is_oid(oid) ? oid : "none");
		if (!is_oid(oid))
			json_object_set_new(o, "error", json_pack("{s:i, s:s}",
				"code", 422, "message", "no sha256"));
		else if (stat(path, &st))
			json_object_set_new(o, "actions", upload_action(oid,
							(size_t)size));
		free(path);
		json_array_append_new(out, o);
	}
	rq->type = "application/vnd.git-lfs+json";
	hub_answer(rq, 200, json_pack("{s:s, s:o}", "transfer", "basic",
				      "objects", out));
	json_decref(b);
}

/* What it says it is, or nothing. */
static void keep_object(struct request *rq, const char *oid, const char *data,
			size_t len)
{
	struct strbuf err = STRBUF_INIT;
	char hex[SHA256_HEX], *path;

	sha256_bytes(hex, data, len);
	if (strcmp(hex, oid)) {
		hub_refuse(rq, 400, "the bytes are of %s", hex);
		return;
	}
	path = store_lfs(oid);
	if (outfile_write(path, data, len, &err))
		hub_refuse(rq, 500, "%s", err.buf);
	else
		hub_answer(rq, 200, json_object());
	free(path);
	strbuf_release(&err);
}

static void keep_part(struct request *rq, const char *oid, const char *number)
{
	struct strbuf path = STRBUF_INIT, err = STRBUF_INIT;
	char hex[SHA256_HEX];

	strbuf_addf(&path, "%s/lfs/%s.%s", hub_root, oid, number);
	if (outfile_write(path.buf, rq->body, rq->body_len, &err)) {
		hub_refuse(rq, 500, "%s", err.buf);
	} else {
		sha256_bytes(hex, rq->body, rq->body_len);
		hub_header(rq, "ETag", "\"%s\"", hex);
		hub_answer(rq, 200, json_object());
	}
	strbuf_release(&path);
	strbuf_release(&err);
}

static void complete(struct request *rq, const char *oid)
{
	json_t *b = hub_body(rq), *v;
	struct strbuf all = STRBUF_INIT, one = STRBUF_INIT, path = STRBUF_INIT;
	struct strbuf err = STRBUF_INIT, etag = STRBUF_INIT;
	char hex[SHA256_HEX];
	size_t i;

	if (!b)
		return;
	json_array_foreach(json_object_get(b, "parts"), i, v) {
		const char *want = json_get_str(v, "etag");

		strbuf_reset(&path);
		strbuf_reset(&one);
		strbuf_reset(&etag);
		strbuf_addf(&path, "%s/lfs/%s.%lld", hub_root, oid, (long long)
			    json_integer_value(json_object_get(v,
							"partNumber")));
		if (strbuf_read_file(&one, path.buf, &err))
			break;
		sha256_bytes(hex, one.buf, one.len);
		strbuf_addf(&etag, "\"%s\"", hex);
		if (!want || strcmp(want, etag.buf)) {
			strbuf_addstr(&err, "an etag is not the part's");
			break;
		}
		strbuf_add(&all, one.buf, one.len);
	}
	if (err.len)
		hub_refuse(rq, 400, "%s", err.buf);
	else
		keep_object(rq, oid, all.buf, all.len);
	json_decref(b);
	strbuf_release(&all);
	strbuf_release(&one);
	strbuf_release(&path);
	strbuf_release(&etag);
	strbuf_release(&err);
}

static void verify(struct request *rq)
{
	json_t *b = hub_body(rq);
	const char *oid = json_get_str(b, "oid");
	char *path = store_lfs(is_oid(oid) ? oid : "none");
	struct stat st;

	if (!b)
		;
	else if (stat(path, &st) || st.st_size != json_integer_value(
					json_object_get(b, "size")))
		hub_refuse(rq, 404, "Object does not exist");
	else
		hub_answer(rq, 200, json_object());
	free(path);
	json_decref(b);
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
		} else if (is_lfs(path, data.len)) {
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
		object = store_lfs(is_oid(oid) ? oid : "none");
		if (!is_oid(oid) || stat(object, &st)) {
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

static json_t *event(const char *type, const char *author, json_t *data,
		     size_t n)
{
	char id[32];

	snprintf(id, sizeof(id), "event%zu", n);
	return json_pack("{s:s, s:s, s:s, s:{s:s}, s:o}", "id", id, "type",
			 type, "createdAt", "2026-01-01T00:00:00.000Z",
			 "author", "name", author, "data", data);
}

static json_t *comment(const char *author, const char *text, size_t n)
{
	return event("comment", author, json_pack("{s:b, s:b, s:{s:s}}",
		     "edited", 0, "hidden", 0, "latest", "raw", text), n);
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
		       comment(user, body, 0), "changes", "base",
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

/* ---- discussions ---- */

static void list_discussions(struct request *rq, struct dataset *d)
{
	const char *status = rq->query(rq, "status"), *p = rq->query(rq, "p");
	const char *author = rq->query(rq, "author");
	long skip = (p ? strtol(p, NULL, 10) : 0) * 50;
	json_t *db = store_load("hub", d->owner, d->name), *out = json_array();
	json_t *it, *all = json_object_get(db, "items"), *c;
	json_int_t n, count = 0;
	char key[24];

	for (n = json_integer_value(json_object_get(db, "next")) - 1; n > 0;
	     n--) {
		snprintf(key, sizeof(key), "%lld", (long long)n);
		it = json_object_get(all, key);
		if (!it || (author && strcmp(author, json_get_str(
				json_object_get(it, "author"), "name"))) ||
		    (status && strcmp(status, "all") &&
		     !strcmp(status, "open") != !strcmp(json_get_str(it,
						"status"), "open")))
			continue;
		count++;
		if (skip-- > 0 || json_array_size(out) == 50)
			continue;
		c = json_copy(it);
		json_object_del(c, "events");
		json_array_append_new(out, c);
	}
	hub_answer(rq, 200, json_pack("{s:o, s:I, s:i}", "discussions", out,
			"count", count, "start", 0));
	json_decref(db);
}

static json_t *set_comment(json_t *it, const char *id, const char *text)
{
	json_t *e, *found = NULL;
	size_t i;

	json_array_foreach(json_object_get(it, "events"), i, e)
		if (!strcmp(json_get_str(e, "id"), id)) {
			json_t *data = json_object_get(e, "data");

			json_object_set_new(data, "edited", json_true());
			json_object_set_new(json_object_get(data, "latest"),
					    "raw", json_string(text));
			found = e;
		}
	return found;
}

/* GET, or one of the changes that a POST asks for. */
static void discussion(struct request *rq, struct dataset *d,
		       const char *number, const char *what)
{
	json_t *db = store_load("hub", d->owner, d->name), *b = NULL;
	json_t *it = json_object_get(json_object_get(db, "items"), number);
	json_t *events = json_object_get(it, "events"), *edited = NULL;
	json_t *changed = NULL;
	const char *text;
	char sha[65];

	if (!it) {
		hub_refuse(rq, 404, "Not Found");
		goto out;
	}
	if (what) {
		b = hub_body(rq);
		if (!b)
			goto out;
		text = json_get_str(b, !strcmp(what, "title") ? "title" :
				    !strcmp(what, "comment") ? "comment" :
				    !strcmp(what, "status") ? "status" :
				    "content");
		if (!strcmp(what, "merge")) {
			struct strbuf ref = STRBUF_INIT;

			strbuf_addf(&ref, "refs/pr/%s", number);
			if (store_commit(d->git, ref.buf, sha))
				store_run(d->git, NULL, 0, NULL, GIT_ARGS(
					"update-ref", "refs/heads/main", sha));
			json_object_set_new(it, "status",
					    json_string("merged"));
			strbuf_release(&ref);
		} else if (!text) {
			hub_refuse(rq, 400, "the body lacks a text");
			goto out;
		} else if (!strcmp(what, "comment")) {
			json_array_append_new(events, comment(rq->user, text,
						json_array_size(events)));
		} else if (!strcmp(what, "title")) {
			changed = event("title-change", rq->user, json_pack(
				"{s:O, s:s}", "from", json_object_get(it,
				what), "to", text), json_array_size(events));
			json_array_append(events, changed);
			json_object_set_new(it, what, json_string(text));
		} else if (!strcmp(what, "status")) {
			json_object_set_new(it, what, json_string(text));
		} else {
			edited = set_comment(it, what, text);
		}
		store_save("hub", d->owner, d->name, db);
	}
	hub_answer(rq, 200, json_deep_copy(it));
	json_object_set_new(rq->json, "filesWithConflicts", json_array());
	if (changed)
		json_object_set_new(rq->json, "newTitle", changed);
	if (edited)
		json_object_set(rq->json, "updatedComment", edited);
	if (what && !strcmp(what, "comment"))
		json_object_set(rq->json, "newMessage", json_array_get(events,
				json_array_size(events) - 1));
out:
	json_decref(b);
	json_decref(db);
}

/* ---- routes ---- */

#define D "/api/datasets/*/*"

static bool discussions(struct request *rq, struct dataset *d)
{
	static const char *const changes[] = { "title", "comment", "status",
					       "merge" };
	struct strbuf route = STRBUF_INIT;
	size_t i;
	bool yes = true;

	if (hub_route(rq, "GET", D "/discussions")) {
		if (dataset_of(rq, d, "main"))
			list_discussions(rq, d);
		return true;
	}
	if (hub_route(rq, "GET", D "/discussions/*")) {
		if (dataset_of(rq, d, "main"))
			discussion(rq, d, rq->part[2], NULL);
		return true;
	}
	if (hub_route(rq, "POST", D "/discussions/*/comment/*/edit")) {
		if (hub_user(rq) && dataset_of(rq, d, "main"))
			discussion(rq, d, rq->part[2], rq->part[3]);
		return true;
	}
	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		strbuf_reset(&route);
		strbuf_addf(&route, "%s/discussions/*/%s", D, changes[i]);
		if (hub_route(rq, "POST", route.buf))
			break;
	}
	strbuf_release(&route);
	yes = i < ARRAY_SIZE(changes);
	if (yes && hub_user(rq) && dataset_of(rq, d, "main"))
		discussion(rq, d, rq->part[2], changes[i]);
	return yes;
}

static bool lfs(struct request *rq)
{
	if (hub_route(rq, "POST", "/datasets/*/*.git/info/lfs/objects/batch")) {
		if (hub_user(rq))
			lfs_batch(rq);
	} else if (hub_route(rq, "PUT", "/lfs/object/*")) {
		/* a presigned URL: a token does not belong here */
		if (MHD_lookup_connection_value(rq->connection,
				MHD_HEADER_KIND, "Authorization"))
			hub_refuse(rq, 400, "Only one auth mechanism allowed");
		else
			keep_object(rq, rq->part[0], rq->body, rq->body_len);
	} else if (hub_route(rq, "PUT", "/lfs/part/*/*")) {
		keep_part(rq, rq->part[0], rq->part[1]);
	} else if (hub_route(rq, "POST", "/lfs/complete/*")) {
		complete(rq, rq->part[0]);
	} else if (hub_route(rq, "POST", "/lfs/verify")) {
		if (hub_user(rq))
			verify(rq);
	} else {
		return false;
	}
	return true;
}

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
		if (hub_user(rq) && dataset_of(rq, &d, rq->rest))
			preupload(rq, &d);
	} else if (hub_route(rq, "POST", D "/paths-info/**")) {
		if (dataset_of(rq, &d, rq->rest))
			paths_info(rq, &d);
	} else if (hub_route(rq, "POST", D "/commit/**")) {
		if (hub_user(rq) && dataset_of(rq, &d, rq->rest))
			commit(rq, &d);
	} else if (hub_route(rq, "GET", "/datasets/*/*/resolve/**")) {
		path = split_rev(rq->rest, rev);
		if (dataset_of(rq, &d, rev))
			resolve(rq, &d, path);
	} else if (hub_route(rq, "GET", D)) {
		if (dataset_of(rq, &d, "main"))
			hub_answer(rq, 200, json_pack("{s:s, s:s}", "id",
				   rq->part[1], "sha", d.rev));
	} else {
		yes = lfs(rq) || discussions(rq, &d);
	}
	free(d.git);
	return yes;
}
