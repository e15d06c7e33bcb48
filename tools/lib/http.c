#include "http.h"

#include <curl/curl.h>
#include <time.h>

static bool is_loopback(const char *url)
{
	CURLU *u = curl_url();
	char *host = NULL;
	bool yes = false;

	if (u && !curl_url_set(u, CURLUPART_URL, url, 0) &&
	    !curl_url_get(u, CURLUPART_HOST, &host, 0))
		yes = !strcmp(host, "localhost") || !strcmp(host, "[::1]") ||
			!strncmp(host, "127.", 4);
	curl_free(host);
	curl_url_cleanup(u);
	return yes;
}

static size_t take(char *data, size_t size, size_t n, void *to)
{
	struct strbuf *sb = to;

	strbuf_add(sb, data, size * n);
	return sb->overflow ? 0 : size * n;
}

static void nap(long ms)
{
	struct timespec ts = { ms / 1000, (ms % 1000) * 1000000 };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

static CURLcode once(CURL *c, struct http_request *rq, struct strbuf *body,
		     long *status, long *retry_after)
{
	curl_off_t after = 0;
	CURLcode rc;

	strbuf_reset(body);
	rc = curl_easy_perform(c);
	*status = 0;
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, status);
	curl_easy_getinfo(c, CURLINFO_RETRY_AFTER, &after);
	*retry_after = after > 60 ? 60000 : (long)after * 1000;
	rq->too_long = body->overflow;
	return rc;
}

int http_get(struct http_request *rq, struct strbuf *body, long *status,
	     struct strbuf *err)
{
	const char *protocols = is_loopback(rq->url) ? "http,https" : "https";
	char why[CURL_ERROR_SIZE] = "";
	long wait = rq->wait_ms, after;
	CURL *c = curl_easy_init();
	CURLcode rc;
	int i;

	if (!c)
		BUG("libcurl has no memory");
	body->max = rq->max;
	curl_easy_setopt(c, CURLOPT_URL, rq->url);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "onboard");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, 5L);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, protocols);
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 10L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 100L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 20L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 600L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "");
	if (rq->token) {
		curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, rq->token);
	}
	for (i = 0;; i++) {
		rc = once(c, rq, body, status, &after);
		if (rq->too_long || i + 1 >= rq->tries ||
		    rc == CURLE_UNSUPPORTED_PROTOCOL ||
		    rc == CURLE_COULDNT_RESOLVE_HOST ||
		    (!rc && *status != 429 && *status < 500))
			break;
		nap(after > wait ? after : wait);
		wait *= 2;
	}
	curl_easy_cleanup(c);
	if (!rc)
		return 0;
	*status = 0;
	if (rq->too_long)
		strbuf_addf(err, "%s: the answer is longer than %zu MiB",
			    rq->url, rq->max >> 20);
	else
		strbuf_addf(err, "%s: no answer: %s", rq->url,
			    why[0] ? why : curl_easy_strerror(rc));
	return -1;
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
