/*
 * http.h - one GET through libcurl, with the patience that servers ask for.
 *
 * https is required, except to a loopback address; a redirect may not leave
 * https either, and the token goes to the first host only. 429 and 5xx, and
 * failures of the network, are tried again up to `tries` times with doubling
 * waits (Retry-After is honoured up to a minute). Proxies and CA as libcurl
 * finds them. The body is at most `max` bytes.
 *
 * http_get() returns 0 with *status set when a server answered (whatever it
 * said), or -1 with a sentence in err: no answer, or one that was cut or too
 * long (`too_long` tells).
 */
#ifndef ONBOARD_HTTP_H
#define ONBOARD_HTTP_H

#include "strbuf.h"

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
