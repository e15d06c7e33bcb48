/* hf_lfs.c - the Hub's LFS batch API, whole objects and objects in parts. */
#include "hub.h"
#include "outfile.h"
#include "sha256.h"

#include <microhttpd.h>
#include <sys/stat.h>

bool hf_is_oid(const char *s)
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
		path = store_lfs(hf_is_oid(oid) ? oid : "none");
		if (!hf_is_oid(oid))
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
	char *path = store_lfs(hf_is_oid(oid) ? oid : "none");
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

/* ---- routes ---- */

bool hf_lfs(struct request *rq)
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
