/*
 * fetch-config - the config.json of a model and how it is served.
 *
 * Reads the wish, the Hub (or --config, or the snapshot) and the cookbook's
 * index; writes config.json and serving.json into the run's folder, or
 * deferred.json when the config cannot be had now (gated, private, no
 * network): the model waits, the others go on.
 */
#include "lib/die.h"
#include "lib/http.h"
#include "lib/json.h"
#include "lib/model.h"
#include "lib/opt.h"
#include "lib/outfile.h"
#include "lib/sha256.h"

static const char *slug, *dir, *cookbook_path, *wish_path, *known_path;
static const char *snapshot, *source = "auto", *config_path = "";
static const char *hub_id = "", *revision = "main";
static const char *tp_arg = "", *ep_arg = "", *ps_arg = "", *lower_arg = "";
static long wait_ms = 1000;
static bool defer_unknown;

static const struct tool tool = {
	"--slug=X --dir=DIR --cookbook=FILE --snapshot=DIR [--config=FILE]",
	"Fetch a model's config.json and find how it is served (TP, EP, page\n"
	"sizes).",
	"the Hub (HF_ENDPOINT, HF_TOKEN or its file), or --config (- is stdin),\n"
	"        or the snapshot; the cookbook's index; manifests/models/X.json",
	"DIR/config.json and DIR/serving.json, or DIR/deferred.json"
};

static const struct option options[] = {
	OPT_STR(0, "slug", &slug, "X", "the model's slug, llama-3.1-8b"),
	OPT_STR('d', "dir", &dir, "DIR", "folder of the run"),
	OPT_STR(0, "cookbook", &cookbook_path, "FILE", "sgl_cookbook.json"),
	OPT_STR('w', "wish", &wish_path, "FILE", "manifests/models/X.json"),
	OPT_STR(0, "known", &known_path, "FILE", "table of slugs and Hub ids"),
	OPT_STR(0, "snapshot", &snapshot, "DIR", "facts shipped with onboard"),
	OPT_STR('s', "source", &source, "KIND", "snapshot: never ask the Hub"),
	OPT_STR('c', "config", &config_path, "FILE", "take this config.json"),
	OPT_STR(0, "hf-repo-id", &hub_id, "ORG/NAME", "Hub id"),
	OPT_STR(0, "revision", &revision, "REV", "Hub revision [main]"),
	OPT_STR(0, "tp", &tp_arg, "\"1 2\"", "tensor parallel sizes"),
	OPT_STR(0, "lower-tp", &lower_arg, "\"1 2\"",
		"as well: of sessions that ran out of memory"),
	OPT_STR(0, "ep", &ep_arg, "\"1 8\"", "expert parallel sizes"),
	OPT_STR(0, "page-sizes", &ps_arg, "\"1 64\"", "KV page sizes"),
	OPT_BOOL(0, "defer-unknown", &defer_unknown,
		 "a model without a Hub id is deferred, not refused"),
	OPT_INT(0, "retry-wait", &wait_ms, "MS",
		"wait before the second try, then doubled [1000]"),
	OPT_END
};

static struct strbuf err = STRBUF_INIT;
static bool hub_silent;		/* it was asked and did not answer */

static char *in_dir(const char *name)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "%s/%s", dir, name);
	return strbuf_detach(&sb);
}

static void put(const char *name, const void *data, size_t len)
{
	char *path = in_dir(name);

	if (outfile_write(path, data, len, &err))
		die(EX_AGAIN, "%s", err.buf);
	free(path);
}

static void drop(const char *name)
{
	char *path = in_dir(name);

	if (unlink(path) && errno != ENOENT)
		die(EX_AGAIN, "unable to remove %s: %s", path,
		    strerror(errno));
	free(path);
}

/* ---- who is it ---- */

static char *from_table(void)
{
	struct strbuf sb = STRBUF_INIT_MAX(1 << 20), no = STRBUF_INIT;
	size_t n = strlen(slug);
	char *found = NULL, *p;

	if (known_path && !strbuf_read_file(&sb, known_path, &no))
		for (p = sb.buf; p && *p && !found; p = strchr(p, '\n')) {
			p += *p == '\n';
			if (!strncmp(p, slug, n) && p[n] == '\t')
				found = xstrndup(p + n + 1,
						 strcspn(p + n + 1, "\t\n"));
		}
	strbuf_release(&sb);
	strbuf_release(&no);
	return found;
}

static char *from_cookbook(const json_t *cookbook)
{
	struct strbuf sb = STRBUF_INIT;
	char *found = NULL;
	const char *id;
	json_t *v;

	json_object_foreach(json_object_get(cookbook, "models"), id, v) {
		strbuf_reset(&sb);
		model_slug_of(&sb, id);
		if (!found && !strcmp(sb.buf, slug))
			found = xstrdup(id);
	}
	strbuf_release(&sb);
	return found;
}

/* The most downloaded model whose name is the slug. */
static char *from_hub(void)
{
	struct strbuf url = STRBUF_INIT, body = STRBUF_INIT, name = STRBUF_INIT;
	struct strbuf no = STRBUF_INIT;
	char *found = NULL, *token = model_hub_token();
	struct http_request rq = { .token = token, .max = (size_t)4 << 20,
				   .tries = 2, .wait_ms = wait_ms };
	long status;
	json_t *j, *v;
	size_t i;

	strbuf_addf(&url, "%s/api/models?limit=50&sort=downloads&search=",
		    model_hub_endpoint());
	http_quote(&url, slug);
	rq.url = url.buf;
	hub_silent = http_get(&rq, &body, &status, &no) || status != 200;
	if (!hub_silent && (j = json_parse(body.buf, body.len, url.buf, &no))) {
		json_array_foreach(j, i, v) {
			const char *id = json_get_str(v, "id");

			if (!id || found || !model_hub_id_ok(id))
				continue;
			strbuf_reset(&name);
			model_slug_of(&name, id);
			if (!strcmp(name.buf, slug))
				found = xstrdup(id);
		}
		json_decref(j);
	}
	free(token);
	strbuf_release(&url);
	strbuf_release(&body);
	strbuf_release(&name);
	strbuf_release(&no);
	return found;
}

static char *who(const json_t *wish, const json_t *cookbook, const char **from)
{
	const char *id = json_get_str(wish, "hf_repo_id");
	char *found;

	*from = "HF_REPO_ID";
	if (*hub_id)
		return xstrdup(hub_id);
	*from = "manifests/models";
	if (id)
		return xstrdup(id);
	*from = "table of known models";
	if ((found = from_table()))
		return found;
	*from = "cookbook";
	if ((found = from_cookbook(cookbook)))
		return found;
	*from = "Hub search";
	if (strcmp(source, "snapshot") && !*config_path)
		return from_hub();
	return NULL;
}

/* ---- its config ---- */

static void check_config(const struct strbuf *sb, const char *name)
{
	json_t *j = json_parse(sb->buf, sb->len, name, &err);

	if (!j)
		die(EX_REFUSED, "%s", err.buf);
	if (!json_is_object(j))
		die(EX_REFUSED, "%s is not a model's config: it is no JSON"
		    " object", name);
	json_decref(j);
}

static bool from_snapshot(struct strbuf *sb, struct strbuf *origin)
{
	struct strbuf no = STRBUF_INIT;
	bool ok;

	strbuf_reset(origin);
	strbuf_addf(origin, "%s/configs/%s.json", snapshot, slug);
	ok = !strbuf_read_file(sb, origin->buf, &no);
	strbuf_release(&no);
	return ok;
}

/* 0, or -1 with the reason in why; *answered when the Hub said no. */
static int get_config(const char *id, struct strbuf *sb, struct strbuf *url,
		      const char **reason, struct strbuf *why)
{
	char *token = model_hub_token();
	struct http_request rq = { .token = token, .max = JSON_MAX_CONFIG,
				   .tries = 4, .wait_ms = wait_ms };
	long status = 0;
	int ret;

	strbuf_reset(url);
	strbuf_addf(url, "%s/", model_hub_endpoint());
	http_quote(url, id);
	strbuf_addstr(url, "/resolve/");
	http_quote(url, revision);
	strbuf_addstr(url, "/config.json");
	rq.url = url->buf;
	ret = http_get(&rq, sb, &status, why);
	if (rq.too_long)
		die(EX_REFUSED, "%s", why->buf);
	if (ret) {
		*reason = "network";
	} else if (status == 401 || status == 403) {
		*reason = token ? "gated" : "gated or private";
		strbuf_addf(why, "%s: the Hub answered %ld; %s", url->buf,
			    status, token ?
			    "ask for access to it with the account of HF_TOKEN"
			    : "set HF_TOKEN to a token that may read it");
		ret = -1;
	} else if (status == 404) {
		*reason = "not found";
		strbuf_addf(why, "%s: the Hub answered 404; give the right"
			    " HF_REPO_ID= or CONFIG=FILE", url->buf);
		ret = -1;
	} else if (status != 200) {
		*reason = "network";
		strbuf_addf(why, "%s: the Hub answered %ld", url->buf, status);
		ret = -1;
	}
	free(token);
	return ret;
}

/* ---- how it is served ---- */

static json_t *parse_sizes(const char *s, const char *what)
{
	json_t *arr = json_array();
	char *end;
	long n;

	for (;;) {
		s += strspn(s, " ,");
		if (!*s)
			break;
		n = strtol(s, &end, 10);
		if (end == s || n < 1 || n > 65536 ||
		    (*end && *end != ' ' && *end != ','))
			opt_usage("--%s takes numbers from 1 on, not '%s'",
				  what, s);
		json_array_append_new(arr, json_integer(n));
		s = end;
	}
	return arr;
}

static void add_serving(json_t *serving, const json_t *wish,
			const json_t *cookbook, const char *id)
{
	static const struct {
		const char *key, *name;
		const char **arg;
		int normal[2];
	} facts[] = {
		{ "tp", "tp", &tp_arg, { 1, 0 } },
		{ "ep", "ep", &ep_arg, { 1, 0 } },
		{ "page_sizes", "page-sizes", &ps_arg, { 1, 64 } },
	};
	json_t *book = model_cookbook_facts(cookbook, id), *from = json_object();
	json_t *all, *lower;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(facts); i++) {
		const char *key = facts[i].key;
		json_t *v = json_object_get(wish, key);

		if (**facts[i].arg) {
			json_object_set_new(serving, key, parse_sizes(
				*facts[i].arg, facts[i].name));
			json_object_set_new(from, key,
					    json_string("command line"));
		} else if (json_array_size(v)) {
			json_object_set(serving, key, v);
			json_object_set_new(from, key,
					    json_string("manifests/models"));
		} else if (i < 2 && json_array_size(json_object_get(book,
								key))) {
			json_object_set(serving, key,
					json_object_get(book, key));
			json_object_set_new(from, key, json_pack(
				"{s:s, s:O, s:O, s:O}", "repo", "sgl_cookbook",
				"file", json_object_get(book, "file"), "line",
				json_object_get(book, "line"), "model",
				json_object_get(book, "model")));
		} else {
			v = json_array();
			json_array_append_new(v, json_integer(
				facts[i].normal[0]));
			if (facts[i].normal[1])
				json_array_append_new(v, json_integer(
					facts[i].normal[1]));
			/* a page size of the cookbook comes on top */
			if (i == 2)
				json_merge_numbers(v, json_object_get(book, key));
			json_object_set_new(serving, key, v);
			json_object_set_new(from, key,
					    json_string("default"));
		}
	}
	lower = parse_sizes(lower_arg, "lower-tp");
	if (json_array_size(lower)) {
		/* a copy: the facts are not ours to change */
		all = json_copy(json_object_get(serving, "tp"));
		json_merge_numbers(all, lower);
		json_object_set_new(serving, "tp", all);
		json_object_set(from, "lower_tp", lower);
	}
	json_decref(lower);
	json_decref(book);
	json_object_set_new(serving, "from", from);
}

static void save_serving(json_t *serving)
{
	struct strbuf sb = STRBUF_INIT;

	json_print(&sb, serving);
	put("serving.json", sb.buf, sb.len);
	strbuf_release(&sb);
}

static void defer(json_t *serving, const char *reason, const char *detail)
{
	struct strbuf sb = STRBUF_INIT;
	json_t *j = json_pack("{s:s, s:s}", "reason", reason, "detail",
			      detail);

	warn("%s is deferred (%s): %s", slug, reason, detail);
	json_print(&sb, j);
	put("deferred.json", sb.buf, sb.len);
	drop("config.json");
	json_object_set_new(serving, "deferred", json_true());
	save_serving(serving);
	exit(done());
}

int main(int argc, char **argv)
{
	struct strbuf sb = STRBUF_INIT_MAX(JSON_MAX_CONFIG);
	struct strbuf origin = STRBUF_INIT, why = STRBUF_INIT;
	const char *from, *kind, *reason = NULL;
	json_t *cookbook, *wish = NULL, *serving;
	char hex[SHA256_HEX], *id;

	if (opt_parse(argc, argv, &tool, options) != argc)
		opt_usage("no arguments are taken, only options");
	if (!slug || !dir || !cookbook_path || !snapshot)
		opt_usage("--slug, --dir, --cookbook and --snapshot are"
			  " needed");
	if (!model_slug_ok(slug))
		die(EX_REFUSED, "'%s' is no slug: lower case letters, digits,"
		    " '.' and '-' only, like llama-3.1-8b", slug);
	if (*hub_id && !model_hub_id_ok(hub_id))
		die(EX_REFUSED, "'%s' is no Hub id; it is ORG/NAME", hub_id);
	cookbook = json_load_path(cookbook_path, JSON_MAX_INDEX, &err);
	if (!cookbook || (wish_path && !access(wish_path, F_OK) &&
			  !(wish = json_load_path(wish_path, JSON_MAX_CONFIG,
						  &err))))
		die(EX_REFUSED, "%s", err.buf);
	id = who(wish, cookbook, &from);
	if (id && !model_hub_id_ok(id))
		die(EX_REFUSED, "%s: '%s' is no Hub id; it is ORG/NAME", from,
		    id);
	serving = json_pack("{s:s, s:s?, s:s}", "model_slug", slug,
			    "hf_repo_id", id, "hf_repo_id_from",
			    id ? from : "not known");
	if (*config_path) {
		kind = "file";
		strbuf_addstr(&origin, config_path);
		if (strbuf_read_file(&sb, config_path, &err))
			die(EX_REFUSED, "%s", err.buf);
	} else if (!strcmp(source, "snapshot") || !id) {
		kind = "snapshot";
		if (from_snapshot(&sb, &origin))
			goto have;
		strbuf_reset(&sb);
		if (defer_unknown)
			defer(serving, "unknown", "no Hub id could be found"
			      " for it; give HF_REPO_ID=ORG/NAME");
		die(EX_REFUSED, "%s is not known: not in the %s, the"
			    " cookbook%s; give HF_REPO_ID=ORG/NAME or"
			    " CONFIG=FILE", slug, id ?
			    "snapshot" : "table of known models",
			    !strcmp(source, "snapshot") ?
			    " (and SOURCE=snapshot asks no Hub)" :
			    hub_silent ? " (and the Hub does not answer)" :
			    " or on the Hub");
	} else {
		kind = "hub";
		if (get_config(id, &sb, &origin, &reason, &why)) {
			/* only silence is mended by the snapshot: a no is a no */
			if (strcmp(reason, "network"))
				defer(serving, reason, why.buf);
			strbuf_reset(&sb);
			kind = "snapshot";
			if (!from_snapshot(&sb, &origin))
				defer(serving, reason, why.buf);
			warn("%s: config.json taken from the snapshot,"
			     " because: %s", slug, why.buf);
		}
	}
have:
	check_config(&sb, origin.buf);
	sha256_bytes(hex, sb.buf, sb.len);
	json_object_set_new(serving, "config_from", json_pack(
		"{s:s, s:s, s:s}", "kind", kind, "origin", origin.buf,
		"sha256", hex));
	add_serving(serving, wish, cookbook, id ? id : slug);
	put("config.json", sb.buf, sb.len);
	drop("deferred.json");
	save_serving(serving);
	return done();
}
