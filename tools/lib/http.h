/*
 * http.h - requests through libcurl, with the patience that servers ask for.
 *
 * https is required, except to a loopback address. A redirect of a GET is
 * followed (five times at most; never from https to plain http), one of any
 * other request only to the same scheme, host and port: what is sent was
 * meant for that server. The token goes to the first host only, whatever a
 * redirect says. Proxies and CA as libcurl finds them.
 *
 * Tried again, up to `tries` times with doubling waits: what never reached
 * the server (refused connection), 429, a 403 that is a rate limit; and when
 * the request may be repeated (`repeat`; GET always) also cut or missing
 * answers and 5xx. Retry-After and X-RateLimit-Reset are honoured up to
 * HTTP_PATIENCE seconds; a longer wait ends the tries (`later` tells when).
 *
 * http_do() returns 0 with `status` set when a server answered (whatever it
 * said), or -1 with a sentence in err. After -1, and after a 5xx, `unsure`
 * tells that the server may have done what was asked.
 */
#ifndef ONBOARD_HTTP_H
#define ONBOARD_HTTP_H

#include "strbuf.h"

#define HTTP_PATIENCE 60

struct http_call {
	const char *method;		/* NULL: GET, or POST with a body */
	const char *url;
	const char *token;		/* bearer, or NULL */
	const char *const *headers;	/* "Name: value", NULL at the end */
	const char *body;		/* sent from memory, or */
	size_t body_len;
	int fd;				/* with body NULL and body_len set: */
	off_t from;			/* body_len bytes of the file */
	size_t max;			/* of the answer; 0: 16 MiB */
	int tries;			/* 0: 4 */
	long wait_ms;			/* before the second try; 0: 500 */
	bool repeat;

	long status;			/* out */
	bool unsure, too_long;		/* out */
	long later;			/* out: seconds that the server asked for */
	char etag[128];			/* out: of the answer, "" without one */
	bool more;			/* out: Link names a next page */
};

/*
 * A connection that is kept between calls, one thread's at a time; NULL:
 * one for this call alone. http_close() frees it.
 */
struct http;
struct http *http_open(void);
void http_close(struct http *h);
int http_do(struct http *h, struct http_call *call, struct strbuf *answer,
	    struct strbuf *err);

/* Whether the URL's host is localhost, 127.x.x.x or [::1]. */
bool http_is_loopback(const char *url);

/* One GET, as above. */
struct http_request {
	const char *url;
	const char *token;	/* bearer, or NULL */
	size_t max;
	int tries;
	long wait_ms;		/* before the second try */
	bool too_long;		/* out: the body passed max */
};

int http_get(struct http_request *rq, struct strbuf *body, long *status,
	     struct strbuf *err);
/* Appends s with everything but unreserved bytes and '/' percent-encoded. */
void http_quote(struct strbuf *sb, const char *s);

#endif
