#include "hub.h"
#include "base64.h"
#include "sha256.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#define BATCH 256		/* files a request, as huggingface_hub */
#define SAMPLE 512

/* ---- the way each file goes, and what is there ---- */

/* git's id of a file as a blob. */
static int git_oid(char hex[65], const struct hub_file *f, struct strbuf *err)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned char md[EVP_MAX_MD_SIZE];
	struct strbuf data = STRBUF_INIT;
	char head[40];
	unsigned n = 0, i;
	int ret = strbuf_read_file(&data, f->local, err);

	if (!ret) {
		snprintf(head, sizeof(head), "blob %zu", data.len);
		EVP_DigestInit_ex(c, EVP_sha1(), NULL);
		EVP_DigestUpdate(c, head, strlen(head) + 1);
		EVP_DigestUpdate(c, data.buf, data.len);
		EVP_DigestFinal_ex(c, md, &n);
		for (i = 0; i < n; i++)
			snprintf(hex + 2 * i, 3, "%02x", md[i]);
	}
	EVP_MD_CTX_free(c);
	strbuf_release(&data);
	return ret;
}

static json_t *entry_of(struct hub_file *f, struct strbuf *err)
{
	int fd = open(f->local, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct strbuf text = STRBUF_INIT;
	char sample[SAMPLE];
	ssize_t n = fd < 0 ? -1 : read(fd, sample, sizeof(sample));
	json_t *o = NULL;
	struct stat st;

	if (n < 0 || fstat(fd, &st)) {
		strbuf_addf(err, "unable to read %s: %s", f->local,
			    strerror(errno));
	} else {
		f->size = (uint64_t)st.st_size;
		base64_encode(&text, sample, (size_t)n);
		o = json_pack("{s:s, s:s, s:I}", "path", f->path, "sample",
			      text.buf, "size", (json_int_t)f->size);
	}
	if (fd >= 0)
		close(fd);
	strbuf_release(&text);
	return o;
}

static const json_t *named(const json_t *list, const char *path)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v)
		if (json_get_str(v, "path") &&
		    !strcmp(json_get_str(v, "path"), path))
			return v;
	return NULL;
}

static int judge(struct hub_file *f, const json_t *said, struct strbuf *err)
{
	const char *mode = json_get_str(said, "uploadMode");
	const char *oid = json_get_str(said, "oid");

	if (!mode || (strcmp(mode, "lfs") && strcmp(mode, "regular"))) {
		strbuf_addf(err, "the Hub does not tell how %s is to be sent",
			    f->path);
		return -1;
	}
	if (json_is_true(json_object_get(said, "shouldIgnore"))) {
		strbuf_addf(err, "the dataset ignores %s", f->path);
		return -1;
	}
	/* an empty file cannot be an LFS object */
	f->lfs = f->size && !strcmp(mode, "lfs");
	if (f->lfs ? sha256_file(f->oid, f->local, err)
		   : git_oid(f->oid, f, err))
		return -1;
	f->same = oid && !strcmp(oid, f->oid);
	return 0;
}

int hub_compare(struct hub *h, struct hub_pull *p, const char *rev,
		struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	struct hub_answer a;
	json_t *files, *e;
	size_t from, i;
	int ret = 0;

	strbuf_addf(&path, "/api/datasets/%s/preupload/%s", h->repo, rev);
	for (from = 0; from < p->n && !ret; from += BATCH) {
		size_t to = from + BATCH < p->n ? from + BATCH : p->n;

		h->code = EX_REFUSED;
		files = json_array();
		for (i = from; i < to && !ret; i++) {
			e = entry_of(&p->file[i], err);
			ret = e ? json_array_append_new(files, e) : -1;
		}
		if (ret) {
			json_decref(files);
			break;
		}
		ret = hub_ask(h, &a, "POST", path.buf, json_pack("{s:o}",
			      "files", files), true, err);
		if (!ret && a.status != 200)
			ret = hub_fail(h, &a, path.buf, err);
		for (i = from; i < to && !ret; i++)
			ret = judge(&p->file[i], named(json_object_get(a.json,
				    "files"), p->file[i].path), err);
		json_decref(a.json);
	}
	strbuf_release(&path);
	return ret;
}

/* ---- LFS ---- */

/* A PUT or POST to a URL that the batch answer gave; etag may be NULL. */
static int send_to(struct hub *h, struct http_call *k, const char *what,
		   struct strbuf *err)
{
	struct strbuf out = STRBUF_INIT;
	int ret;

	k->repeat = true;
	ret = http_do(h->h, k, &out, err);
	h->code = EX_AGAIN;
	if (!ret && k->status >= 300) {
		h->code = k->status >= 500 || k->status == 429 ? EX_AGAIN :
			EX_REFUSED;
		strbuf_addf(err, k->status == 413 ? "the Hub takes no file of"
			    " this size (%ld to %s)" : "the Hub's storage"
			    " answers %ld to %s", k->status, what);
		ret = -1;
	}
	strbuf_release(&out);
	return ret;
}

/* The headers that the URL was signed with. */
static const char **signed_headers(const json_t *header, struct strbuf *text)
{
	const char **v = xcalloc(json_object_size(header) + 2, sizeof(*v));
	size_t n = 0, i, *at = xcalloc(json_object_size(header) + 1,
				       sizeof(*at));
	const char *key;
	json_t *val;

	json_object_foreach((json_t *)header, key, val) {
		const char *s = json_string_value(val);

		if (!s || !strcmp(key, "chunk_size") ||
		    strspn(key, "0123456789") == strlen(key) ||
		    strpbrk(s, "\r\n") || strpbrk(key, "\r\n:"))
			continue;
		at[n++] = text->len;
		strbuf_addf(text, "%s: %s", key, s);
		strbuf_addch(text, 0);
	}
	for (i = 0; i < n; i++)
		v[i] = text->buf + at[i];
	free(at);
	return v;
}

static int put_whole(struct hub *h, const struct hub_file *f, int fd,
		     const char *href, const json_t *header,
		     struct strbuf *err)
{
	struct strbuf text = STRBUF_INIT;
	const char **headers = signed_headers(header, &text);
	struct http_call k = { .method = "PUT", .url = href, .fd = fd,
		.body_len = f->size, .headers = headers };
	int ret = send_to(h, &k, f->path, err);

	free(headers);
	strbuf_release(&text);
	return ret;
}

/* Part n is under a key that is that number. */
static const char *part_url(const json_t *header, size_t n)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)header, key, v)
		if (strspn(key, "0123456789") == strlen(key) &&
		    strtoul(key, NULL, 10) == n)
			return json_string_value(v);
	return NULL;
}

static int put_parts(struct hub *h, const struct hub_file *f, int fd,
		     const char *href, const json_t *header, uint64_t size,
		     struct strbuf *err)
{
	static const char *const headers[] = {
		"Content-Type: application/vnd.git-lfs+json",
		"Accept: application/vnd.git-lfs+json", NULL };
	uint64_t parts = (f->size + size - 1) / size, i;
	json_t *done = json_array(), *all;
	struct http_call k;
	char *text;
	int ret = 0;

	for (i = 0; i < parts && !ret; i++) {
		k = (struct http_call){ .method = "PUT", .fd = fd,
			.url = part_url(header, i + 1),
			.from = (off_t)(i * size), .body_len = i + 1 < parts ?
			size : f->size - i * size };
		if (!k.url) {
			strbuf_addf(err, "the Hub names no URL for part %llu"
				    " of %s", (unsigned long long)i + 1,
				    f->path);
			ret = -1;
			break;
		}
		ret = send_to(h, &k, f->path, err);
		if (!ret && !k.etag[0]) {
			strbuf_addf(err, "the Hub's storage gave no ETag for"
				    " a part of %s", f->path);
			ret = -1;
		}
		json_array_append_new(done, json_pack("{s:I, s:s}",
				      "partNumber", (json_int_t)i + 1, "etag",
				      k.etag));
	}
	all = json_pack("{s:s, s:o}", "oid", f->oid, "parts", done);
	text = json_dumps(all, JSON_COMPACT);
	k = (struct http_call){ .method = "POST", .url = href, .body = text,
		.body_len = strlen(text), .headers = headers };
	if (!ret)
		ret = send_to(h, &k, f->path, err);
	json_decref(all);
	free(text);
	return ret;
}

static bool same_server(const struct hub *h, const char *href)
{
	size_t n = strlen(h->endpoint);

	return !strncmp(href, h->endpoint, n) && href[n] == '/';
}

static int verify(struct hub *h, const struct hub_file *f, const char *href,
		  struct strbuf *err)
{
	static const char *const headers[] = {
		"Content-Type: application/json", NULL };
	json_t *o = json_pack("{s:s, s:I}", "oid", f->oid, "size",
			      (json_int_t)f->size);
	char *text = json_dumps(o, JSON_COMPACT);
	/* the token is for the Hub, wherever its storage is */
	struct http_call k = { .method = "POST", .url = href, .body = text,
		.body_len = strlen(text), .headers = headers,
		.token = same_server(h, href) ? h->token : NULL };
	int ret = send_to(h, &k, f->path, err);

	json_decref(o);
	free(text);
	return ret;
}

static int upload_one(struct hub *h, const struct hub_file *f,
		      const json_t *object, struct strbuf *err)
{
	const json_t *actions = json_object_get(object, "actions");
	const json_t *up = json_object_get(actions, "upload"), *chunk;
	const json_t *header = json_object_get(up, "header");
	const char *href = json_get_str(up, "href"), *check;
	long long size = 0;
	int fd, ret = -1;

	if (!up)
		return 0;	/* it has it already */
	h->code = EX_REFUSED;
	if (!href) {
		strbuf_addf(err, "the Hub names no URL for %s", f->path);
		return -1;
	}
	chunk = json_object_get(header, "chunk_size");
	if (chunk)
		size = json_is_integer(chunk) ? json_integer_value(chunk) :
			strtoll(json_string_value(chunk) ?
				json_string_value(chunk) : "", NULL, 10);
	fd = open(f->local, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		strbuf_addf(err, "unable to read %s: %s", f->local,
			    strerror(errno));
	else if (chunk && size < 1)
		strbuf_addf(err, "the Hub's chunk_size for %s is no number",
			    f->path);
	else if (chunk)
		ret = put_parts(h, f, fd, href, header, (uint64_t)size, err);
	else
		ret = put_whole(h, f, fd, href, header, err);
	if (fd >= 0)
		close(fd);
	check = json_get_str(json_object_get(actions, "verify"), "href");
	if (!ret && check)
		ret = verify(h, f, check, err);
	return ret;
}

static const json_t *object_of(const json_t *list, const char *oid)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v)
		if (json_get_str(v, "oid") &&
		    !strcmp(json_get_str(v, "oid"), oid))
			return v;
	return NULL;
}

static int upload_batch(struct hub *h, struct hub_file **files, size_t n,
			const char *path, struct strbuf *err)
{
	json_t *objects = json_array(), *list;
	struct hub_answer a;
	size_t i;
	int ret;

	for (i = 0; i < n; i++)
		json_array_append_new(objects, json_pack("{s:s, s:I}", "oid",
				      files[i]->oid, "size",
				      (json_int_t)files[i]->size));
	ret = hub_ask(h, &a, "POST", path, json_pack("{s:s, s:[s,s], s:o,"
		      " s:s}", "operation", "upload", "transfers", "basic",
		      "multipart", "objects", objects, "hash_algo", "sha256"),
		      true, err);
	if (!ret && a.status != 200)
		ret = hub_fail(h, &a, path, err);
	list = json_object_get(a.json, "objects");
	for (i = 0; i < n && !ret; i++) {
		const json_t *o = object_of(list, files[i]->oid);
		const json_t *bad = json_object_get(o, "error");

		h->code = EX_REFUSED;
		if (!o || bad) {
			strbuf_addf(err, "the Hub does not take %s: %s",
				    files[i]->path, json_get_str(bad,
				    "message") ? json_get_str(bad, "message")
				    : "it is not in its answer");
			ret = -1;
		} else {
			ret = upload_one(h, files[i], o, err);
		}
	}
	json_decref(a.json);
	return ret;
}

int hub_upload(struct hub *h, struct hub_pull *p, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	struct hub_file *batch[BATCH];
	size_t i, n = 0;
	int ret = 0;

	strbuf_addf(&path, "/datasets/%s.git/info/lfs/objects/batch", h->repo);
	for (i = 0; i < p->n && !ret; i++) {
		if (p->file[i].lfs && !p->file[i].same)
			batch[n++] = &p->file[i];
		if (n == BATCH || (n && i + 1 == p->n)) {
			ret = upload_batch(h, batch, n, path.buf, err);
			n = 0;
		}
	}
	strbuf_release(&path);
	return ret;
}
