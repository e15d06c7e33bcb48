#include "http.h"

#include <curl/curl.h>
#include <strings.h>
#include <time.h>

#define REDIRECTS 5

struct http {
	CURL *c;
};

struct http *http_open(void)
{
	struct http *h = xcalloc(1, sizeof(*h));

	h->c = curl_easy_init();
	if (!h->c)
		BUG("libcurl has no memory");
	return h;
}

void http_close(struct http *h)
{
	if (!h)
		return;
	curl_easy_cleanup(h->c);
	free(h);
}

/* ---- URLs ---- */

static bool is_local_name(const char *host)
{
	return !strcmp(host, "localhost") || !strcmp(host, "[::1]") ||
		(!strncmp(host, "127.", 4) &&
		 strspn(host, "0123456789.") == strlen(host));
}

/* "scheme://host:port" of a URL into sb; false: it is none. */
static bool origin(struct strbuf *sb, const char *url, bool *local)
{
	char *scheme = NULL, *host = NULL, *port = NULL;
	CURLU *u = curl_url();
	bool ok = u && !curl_url_set(u, CURLUPART_URL, url, 0) &&
		!curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
		!curl_url_get(u, CURLUPART_HOST, &host, 0) &&
		!curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);

	if (ok) {
		strbuf_addf(sb, "%s://%s:%s", scheme, host, port);
		*local = is_local_name(host);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
	return ok;
}

bool http_is_loopback(const char *url)
{
	struct strbuf sb = STRBUF_INIT;
	bool local = false;

	origin(&sb, url, &local);
	strbuf_release(&sb);
	return local;
}

/* ---- one exchange ---- */

struct exchange {
	struct http_call *call;
	struct strbuf *answer;
	size_t sent;
	long retry_after, reset;
	bool none_left;
};

static size_t take(char *data, size_t size, size_t n, void *to)
{
	struct exchange *x = to;

	strbuf_add(x->answer, data, size * n);
	return x->answer->overflow ? 0 : size * n;
}

static size_t give(char *buf, size_t size, size_t n, void *from)
{
	struct exchange *x = from;
	struct http_call *k = x->call;
	size_t want = size * n, left = k->body_len - x->sent;
	ssize_t r;

	want = want < left ? want : left;
	if (k->body) {
		memcpy(buf, k->body + x->sent, want);
	} else if (want) {
		r = pread(k->fd, buf, want, k->from + (off_t)x->sent);
		if (r <= 0)
			return CURL_READFUNC_ABORT;
		want = (size_t)r;
	}
	x->sent += want;
	return want;
}

static int rewind_body(void *from, curl_off_t at, int origin_)
{
	struct exchange *x = from;

	if (origin_ != SEEK_SET || at < 0 || (size_t)at > x->call->body_len)
		return CURL_SEEKFUNC_FAIL;
	x->sent = (size_t)at;
	return CURL_SEEKFUNC_OK;
}

static const char *value_of(const char *line, const char *name)
{
	size_t n = strlen(name);

	if (strncasecmp(line, name, n) || line[n] != ':')
		return NULL;
	for (line += n + 1; *line == ' '; line++)
		;
	return line;
}

static size_t header(char *data, size_t size, size_t n, void *to)
{
	struct exchange *x = to;
	char *line = xstrndup(data, size * n);
	const char *v;

	line[strcspn(line, "\r\n")] = '\0';
	v = value_of(line, "etag");
	if (v)
		snprintf(x->call->etag, sizeof(x->call->etag), "%s", v);
	v = value_of(line, "link");
	if (v && strstr(v, "rel=\"next\""))
		x->call->more = true;
	v = value_of(line, "x-ratelimit-remaining");
	if (v && !strcmp(v, "0"))
		x->none_left = true;
	v = value_of(line, "x-ratelimit-reset");
	if (v)
		x->reset = strtol(v, NULL, 10) - (long)time(NULL);
	free(line);
	return size * n;
}

static struct curl_slist *headers_of(const struct http_call *k)
{
	/* no waiting for "100 Continue" */
	struct curl_slist *l = curl_slist_append(NULL, "Expect:");
	const char *const *h;

	for (h = k->headers; h && *h; h++)
		l = curl_slist_append(l, *h);
	return l;
}

static const char *method_of(const struct http_call *k)
{
	if (k->method)
		return k->method;
	return k->body || k->body_len ? "POST" : "GET";
}

static void set_up(CURL *c, struct exchange *x, const char *url,
		   bool with_token, struct curl_slist *headers, char *why)
{
	const struct http_call *k = x->call;
	const char *method = method_of(k);

	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "onboard");
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 10L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 100L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 20L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 600L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "");
	if (with_token && k->token) {
		curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, k->token);
	}
	if (!strcmp(method, "HEAD")) {
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	} else if (strcmp(method, "GET")) {
		curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c, CURLOPT_READFUNCTION, give);
		curl_easy_setopt(c, CURLOPT_READDATA, x);
		curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, rewind_body);
		curl_easy_setopt(c, CURLOPT_SEEKDATA, x);
		curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE,
				 (curl_off_t)k->body_len);
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
	}
}

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 ||
		status == 307 || status == 308;
}

/* May a request of this kind go on to `to`? *same: the same server. */
static bool may_follow(const struct http_call *k, const char *from,
		       const char *to, bool *same)
{
	struct strbuf a = STRBUF_INIT, b = STRBUF_INIT;
	bool local = false, get = !strcmp(method_of(k), "GET") ||
		!strcmp(method_of(k), "HEAD"), ok;

	*same = origin(&a, from, &local) && origin(&b, to, &local) &&
		!strcmp(a.buf, b.buf);
	ok = *same || (get && b.len && (!strncmp(b.buf, "https:", 6) ||
					(local && http_is_loopback(from))));
	strbuf_release(&a);
	strbuf_release(&b);
	return ok;
}

/* With its redirects; the answer of the last. */
static CURLcode once(CURL *c, struct exchange *x, char *why)
{
	struct http_call *k = x->call;
	char *url = xstrdup(k->url), *next = NULL;
	struct curl_slist *headers = headers_of(k);
	bool token = true, same = true;
	curl_off_t after = 0;
	CURLcode rc;
	int i;

	for (i = 0;; i++) {
		strbuf_reset(x->answer);
		x->answer->overflow = false;
		x->sent = 0;
		x->retry_after = x->reset = 0;
		x->none_left = k->more = false;
		k->etag[0] = '\0';
		k->status = 0;
		set_up(c, x, url, token, headers, why);
		rc = curl_easy_perform(c);
		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &k->status);
		if (rc || !is_redirect(k->status) || i == REDIRECTS)
			break;
		curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &next);
		if (!next || !may_follow(k, url, next, &same))
			break;
		token &= same;
		free(url);
		url = xstrdup(next);
	}
	curl_easy_getinfo(c, CURLINFO_RETRY_AFTER, &after);
	x->retry_after = (long)after;
	k->too_long = x->answer->overflow;
	curl_slist_free_all(headers);
	free(url);
	return rc;
}

/* ---- patience ---- */

static void nap(long ms)
{
	struct timespec ts = { ms / 1000, (ms % 1000) * 1000000 };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

static bool never_arrived(CURLcode rc)
{
	return rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST
		|| rc == CURLE_COULDNT_RESOLVE_PROXY;
}

static bool is_limit(const struct exchange *x)
{
	return x->call->status == 429 || (x->call->status == 403 &&
		(x->retry_after || x->none_left));
}

static bool again(const struct exchange *x, CURLcode rc, bool repeat)
{
	if (x->call->too_long || rc == CURLE_UNSUPPORTED_PROTOCOL ||
	    rc == CURLE_COULDNT_RESOLVE_HOST ||
	    rc == CURLE_PEER_FAILED_VERIFICATION)
		return false;
	if (rc)
		return repeat || never_arrived(rc);
	return is_limit(x) || (repeat && x->call->status >= 500);
}

static int refuse_plain(const struct http_call *k, struct strbuf *err)
{
	if (!strncasecmp(k->url, "https://", 8) ||
	    (!strncasecmp(k->url, "http://", 7) && http_is_loopback(k->url)))
		return 0;
	strbuf_addf(err, "%s: only https is spoken, plain http only to this"
		    " machine", k->url);
	return -1;
}

int http_do(struct http *h, struct http_call *k, struct strbuf *answer,
	    struct strbuf *err)
{
	const char *method = method_of(k);
	bool repeat = k->repeat || !strcmp(method, "GET") ||
		!strcmp(method, "HEAD");
	long wait = k->wait_ms ? k->wait_ms : 500, asked;
	struct exchange x = { .call = k, .answer = answer };
	char why[CURL_ERROR_SIZE] = "";
	struct http *own = h ? NULL : http_open();
	int tries = k->tries ? k->tries : 4, i, ret = 0;
	int shown = (int)strcspn(k->url, "?");	/* a query may be signed */
	CURLcode rc;

	k->unsure = k->too_long = false;
	k->later = k->status = 0;
	answer->max = k->max ? k->max : (size_t)16 << 20;
	if (refuse_plain(k, err)) {
		http_close(own);
		return -1;
	}
	for (i = 0;; i++) {
		rc = once(h ? h->c : own->c, &x, why);
		asked = x.retry_after > 0 ? x.retry_after :
			x.none_left && x.reset > 0 ? x.reset : 0;
		if (!again(&x, rc, repeat))
			break;
		k->later = is_limit(&x) || k->status >= 500 ? asked : 0;
		if (i + 1 >= tries || asked > HTTP_PATIENCE)
			break;
		nap(asked * 1000 > wait ? asked * 1000 : wait);
		wait *= 2;
	}
	k->unsure = rc ? !never_arrived(rc) : k->status >= 500;
	if (rc) {
		k->status = 0;
		ret = -1;
		if (k->too_long)
			strbuf_addf(err, "%.*s: the answer is longer than %zu"
				    " MiB", shown, k->url, answer->max >> 20);
		else
			strbuf_addf(err, "%.*s: no answer: %s", shown, k->url,
				    why[0] ? why : curl_easy_strerror(rc));
	}
	http_close(own);
	return ret;
}

int http_get(struct http_request *rq, struct strbuf *body, long *status,
	     struct strbuf *err)
{
	struct http_call k = { .url = rq->url, .token = rq->token,
		.max = rq->max, .tries = rq->tries, .wait_ms = rq->wait_ms };
	int ret = http_do(NULL, &k, body, err);

	rq->too_long = k.too_long;
	*status = k.status;
	return ret;
}

void http_quote(struct strbuf *sb, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c | 32) - 'a' < 26 && (c | 32) >= 'a')
			strbuf_addch(sb, c);
		else if ((c >= '0' && c <= '9') || strchr("-._~/", c))
			strbuf_addch(sb, c);
		else
			strbuf_addf(sb, "%%%02X", c);
	}
}
