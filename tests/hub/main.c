/*
 * rehearse-hub - GitHub and the Hub on loopback (hub.h), for tests and for
 * `make rehearse`. Ends by itself after --seconds, or when the process that
 * started it is gone.
 */
#include "hub.h"
#include "die.h"
#include "opt.h"
#include "outfile.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#define MAX_BODY ((size_t)256 << 20)

const char *hub_root, *hub_url;
size_t hub_part_size = 10 << 20;
static const char *port_file, *elsewhere = "http://127.0.0.1:9";
static long port, seconds = 3600, part_size = 10 << 20;
static struct opt_list github_repos, hub_repos, tokens, writers, faults;

static const struct tool tool = {
	"--root=DIR --port-file=FILE --token=TOKEN=LOGIN [options]",
	"A GitHub and a Hub on loopback, with git repositories behind them.",
	"what --github and --hub name",
	"ROOT/{github,hub}/OWNER/NAME.{git,json}, ROOT/lfs, ROOT/requests.log"
};

static const struct option options[] = {
	OPT_STR(0, "root", &hub_root, "DIR", "what is kept"),
	OPT_INT('p', "port", &port, "N", "listen there [any]"),
	OPT_STR(0, "port-file", &port_file, "FILE", "the port is written there"),
	OPT_LIST(0, "github", &github_repos, "OWNER/NAME[=URL]", "repository"),
	OPT_LIST(0, "hub", &hub_repos, "OWNER/NAME[=URL]", "dataset"),
	OPT_LIST(0, "token", &tokens, "TOKEN=LOGIN", "who may do things"),
	OPT_LIST(0, "writer", &writers, "LOGIN", "may push to every repository"),
	OPT_INT(0, "part-size", &part_size, "BYTES",
		"LFS objects above it come in parts"),
	OPT_STR(0, "elsewhere", &elsewhere, "URL", "where the fault redirect"
		" leads"),
	OPT_LIST(0, "fault", &faults, "N:KIND[:MATCH]",
		"the N-th request whose METHOD and path hold MATCH fails: refuse,\n"
		"cut, slow, redirect, badjson, 500after or a status"),
	OPT_INT(0, "seconds", &seconds, "N", "end after that time [3600]"),
	OPT_END
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct MHD_Daemon *daemon_;

/* ---- requests ---- */

static const char *query(const struct request *rq, const char *key)
{
	return MHD_lookup_connection_value(rq->connection,
					   MHD_GET_ARGUMENT_KIND, key);
}

bool hub_route(struct request *rq, const char *method, const char *pattern)
{
	const char *p = rq->path;
	size_t n = 0, len;

	if (strcmp(rq->method, method) &&
	    (strcmp(method, "GET") || strcmp(rq->method, "HEAD")))
		return false;
	for (; *pattern; pattern++) {
		if (!strcmp(pattern, "**")) {
			rq->rest = p;
			return *p;
		}
		if (*pattern != '*') {
			if (*p++ != *pattern)
				return false;
			continue;
		}
		/* up to what follows: "*.git" stops there */
		len = strcspn(p, "/");
		if (pattern[1] && pattern[1] != '/') {
			const char *e = strstr(p, pattern + 1);

			if (!e)
				return false;
			len = (size_t)(e - p);
		}
		if (!len || len >= sizeof(rq->part[0]) ||
		    n == ARRAY_SIZE(rq->part))
			return false;
		memcpy(rq->part[n], p, len);
		rq->part[n++][len] = '\0';
		p += len;
	}
	return !*p;
}

void hub_answer(struct request *rq, int status, json_t *json)
{
	rq->status = status;
	rq->json = json;
}

void hub_refuse(struct request *rq, int status, const char *fmt, ...)
{
	struct strbuf sb = STRBUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(&sb, fmt, ap);
	va_end(ap);
	hub_answer(rq, status, json_pack("{s:s, s:s}", "message", sb.buf,
					 "error", sb.buf));
	strbuf_release(&sb);
}

void hub_header(struct request *rq, const char *name, const char *fmt, ...)
{
	va_list ap;

	if (rq->nheaders == ARRAY_SIZE(rq->header))
		BUG("too many headers");
	snprintf(rq->header[rq->nheaders][0], 160, "%s", name);
	va_start(ap, fmt);
	vsnprintf(rq->header[rq->nheaders++][1], 160, fmt, ap);
	va_end(ap);
}

bool hub_user(struct request *rq)
{
	if (rq->user)
		return true;
	hub_refuse(rq, 401, "Bad credentials");
	return false;
}

bool hub_may_write(const char *user)
{
	size_t i;

	for (i = 0; user && i < writers.n; i++)
		if (!strcmp(writers.v[i], user))
			return true;
	return false;
}

json_t *hub_body(struct request *rq)
{
	struct strbuf err = STRBUF_INIT;
	json_t *j = json_parse(rq->body ? rq->body : "", rq->body_len, "body",
			       &err);

	if (!j)
		hub_refuse(rq, 400, "Problems parsing JSON");
	strbuf_release(&err);
	return j;
}

static const char *login_of(struct MHD_Connection *c)
{
	const char *a = MHD_lookup_connection_value(c, MHD_HEADER_KIND,
						    "Authorization"), *t;
	size_t i, n;

	if (!a)
		return NULL;
	t = strchr(a, ' ');
	t = t ? t + 1 : a;
	for (i = 0; i < tokens.n; i++) {
		n = strcspn(tokens.v[i], "=");
		if (strlen(t) == n && !strncmp(t, tokens.v[i], n))
			return tokens.v[i] + n + 1;
	}
	return NULL;
}

/* ---- faults ---- */

static struct fault {
	long at, seen;
	char kind[16], match[200];
} armed[16];
static size_t narmed;

static bool arm(const char *text)
{
	struct fault f = { 0 };
	char *end;

	f.at = strtol(text, &end, 10);
	if (f.at < 1 || *end != ':' || narmed == ARRAY_SIZE(armed) ||
	    sscanf(end + 1, "%15[^:]:%199[^\n]", f.kind, f.match) < 1)
		return false;
	armed[narmed++] = f;
	return true;
}

/* The kind of fault that this request meets, or "". */
static const char *fault_of(const struct request *rq)
{
	struct strbuf line = STRBUF_INIT;
	const char *kind = "";
	size_t i;

	strbuf_addf(&line, "%s %s", rq->method, rq->path);
	for (i = 0; i < narmed; i++)
		if (strstr(line.buf, armed[i].match) &&
		    ++armed[i].seen == armed[i].at)
			kind = armed[i].kind;
	strbuf_release(&line);
	return kind;
}

/* ---- answers ---- */

struct slow {
	char *text;
	size_t len;
};

static ssize_t trickle(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct timespec ts = { 0, 300000000 };
	struct slow *s = cls;

	if (pos >= s->len || !max)
		return MHD_CONTENT_READER_END_OF_STREAM;
	nanosleep(&ts, NULL);
	*buf = s->text[pos];
	return 1;
}

/* Half of it, and the connection is closed. */
static ssize_t half(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct slow *s = cls;
	size_t n = s->len / 2 > pos ? s->len / 2 - pos : 0;

	if (!n)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	n = n < max ? n : max;
	memcpy(buf, s->text + pos, n);
	return (ssize_t)n;
}

static void free_slow(void *cls)
{
	struct slow *s = cls;

	free(s->text);
	free(s);
}

static struct MHD_Response *response_of(struct request *rq, const char *fault)
{
	struct strbuf text = STRBUF_INIT;
	struct MHD_Response *r;
	struct slow *s;

	if (!strcmp(fault, "badjson"))
		strbuf_addstr(&text, "{\"number\": 1, <html>");
	else if (rq->json)
		json_print(&text, rq->json);
	else
		strbuf_add(&text, rq->raw.buf, rq->raw.len);
	if (!strcmp(fault, "slow") || !strcmp(fault, "cut")) {
		s = xcalloc(1, sizeof(*s));
		s->len = text.len;
		s->text = strbuf_detach(&text);
		return MHD_create_response_from_callback(s->len, 1024,
			*fault == 's' ? trickle : half, s, free_slow);
	}
	r = MHD_create_response_from_buffer(text.len, text.buf,
					    MHD_RESPMEM_MUST_COPY);
	strbuf_release(&text);
	return r;
}

static void log_request(const struct request *rq, const char *fault)
{
	struct strbuf path = STRBUF_INIT;
	FILE *f;

	strbuf_addf(&path, "%s/requests.log", hub_root);
	f = fopen(path.buf, "a");
	if (f) {
		fprintf(f, "%s %s %d user=%s%s%s\n", rq->method, rq->path,
			rq->status, rq->user ? rq->user : "-",
			*fault ? " fault=" : "", fault);
		fclose(f);
	}
	strbuf_release(&path);
}

static void control(struct request *rq)
{
	if (hub_route(rq, "POST", "/_rehearse/fault")) {
		char *text = xstrndup(rq->body ? rq->body : "", rq->body_len);

		narmed = 0;
		if (*text && !arm(text))
			hub_refuse(rq, 400, "N:KIND[:MATCH]");
		else
			hub_answer(rq, 200, json_object());
		free(text);
	} else {
		hub_refuse(rq, 404, "Not Found");
	}
}

/* "404" -> 404; 0 for faults of another kind. */
static int status_in(const char *fault)
{
	char *end;
	long n = strtol(fault, &end, 10);

	return *end || n < 400 || n > 599 ? 0 : (int)n;
}

static enum MHD_Result serve(struct MHD_Connection *c, struct request *rq)
{
	static const char *const limits[][2] = {
		{ "X-RateLimit-Limit", "5000" },
		{ "X-RateLimit-Remaining", "4999" } };
	bool ours = !strncmp(rq->path, "/_rehearse", 10);
	const char *fault = "";
	struct MHD_Response *r;
	enum MHD_Result ret;
	size_t i;

	pthread_mutex_lock(&lock);
	fault = ours ? "" : fault_of(rq);
	if (!strcmp(fault, "refuse")) {
		rq->status = 0;
		log_request(rq, fault);
		pthread_mutex_unlock(&lock);
		return MHD_NO;
	}
	if (ours) {
		control(rq);
	} else if (!strcmp(fault, "redirect")) {
		hub_refuse(rq, 307, "elsewhere");
	} else if (status_in(fault)) {
		hub_refuse(rq, status_in(fault), "a fault on demand");
	} else if (!github_serve(rq) && !hf_serve(rq)) {
		hub_refuse(rq, 404, "Not Found");
	}
	if (!strcmp(fault, "500after"))
		hub_answer(rq, 500, json_pack("{s:s}", "message",
					      "it was done all the same"));
	if (!ours)
		log_request(rq, fault);
	r = response_of(rq, fault);
	MHD_add_response_header(r, "Content-Type", rq->type ? rq->type :
				"application/json; charset=utf-8");
	for (i = 0; i < ARRAY_SIZE(limits); i++)
		MHD_add_response_header(r, limits[i][0], limits[i][1]);
	for (i = 0; i < rq->nheaders; i++)
		MHD_add_response_header(r, rq->header[i][0],
					rq->header[i][1]);
	if (!strcmp(fault, "redirect"))
		MHD_add_response_header(r, "Location", elsewhere);
	if (!strcmp(fault, "429"))
		MHD_add_response_header(r, "Retry-After", "1");
	ret = MHD_queue_response(c, (unsigned)rq->status, r);
	MHD_destroy_response(r);
	pthread_mutex_unlock(&lock);
	return ret;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *c,
			      const char *url, const char *method,
			      const char *version, const char *data,
			      size_t *size, void **state)
{
	struct strbuf *body = *state;
	struct request rq = { .method = method, .path = url, .query = query,
		.connection = c, .raw = STRBUF_INIT };
	enum MHD_Result ret;

	(void)cls;
	(void)version;
	if (!body) {
		body = xcalloc(1, sizeof(*body));
		*body = (struct strbuf)STRBUF_INIT_MAX(MAX_BODY);
		*state = body;
		return MHD_YES;
	}
	if (*size) {
		strbuf_add(body, data, *size);
		*size = 0;
		return MHD_YES;
	}
	rq.user = login_of(c);
	rq.body = body->buf;
	rq.body_len = body->len;
	ret = serve(c, &rq);
	json_decref(rq.json);
	strbuf_release(&rq.raw);
	return ret;
}

static void completed(void *cls, struct MHD_Connection *c, void **state,
		      enum MHD_RequestTerminationCode why)
{
	struct strbuf *body = *state;

	(void)cls;
	(void)c;
	(void)why;
	if (body)
		strbuf_release(body);
	free(body);
	*state = NULL;
}

static void start(void)
{
	struct strbuf url = STRBUF_INIT, text = STRBUF_INIT, err = STRBUF_INIT;
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	daemon_ = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION |
		MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle, NULL,
		MHD_OPTION_SOCK_ADDR, &addr, MHD_OPTION_NOTIFY_COMPLETED,
		completed, NULL, MHD_OPTION_CONNECTION_LIMIT, 64U,
		MHD_OPTION_CONNECTION_TIMEOUT, 30U, MHD_OPTION_END);
	if (!daemon_)
		die(EX_AGAIN, "unable to listen on 127.0.0.1:%ld", port);
	port = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_BIND_PORT)->port;
	strbuf_addf(&url, "http://127.0.0.1:%ld", port);
	hub_url = strbuf_detach(&url);
	strbuf_addf(&text, "%ld\n", port);
	if (outfile_write(port_file, text.buf, text.len, &err))
		die(EX_AGAIN, "%s", err.buf);
	strbuf_release(&text);
}

int main(int argc, char **argv)
{
	struct timespec second = { 1, 0 };
	pid_t parent = getppid();
	struct strbuf err = STRBUF_INIT, dir = STRBUF_INIT;
	size_t i;

	if (opt_parse(argc, argv, &tool, options) != argc || !hub_root ||
	    !port_file || seconds < 1 || part_size < 1)
		opt_usage("--root and --port-file are needed");
	hub_part_size = (size_t)part_size;
	signal(SIGPIPE, SIG_IGN);
	strbuf_addf(&dir, "%s/lfs/", hub_root);
	if (outfile_mkdirs(dir.buf, &err))
		die(EX_AGAIN, "%s", err.buf);
	hub_root = realpath(hub_root, NULL);	/* git runs elsewhere */
	if (!hub_root)
		die(EX_AGAIN, "%s: %s", dir.buf, strerror(errno));
	for (i = 0; i < github_repos.n; i++)
		store_make("github", github_repos.v[i]);
	for (i = 0; i < hub_repos.n; i++)
		store_make("hub", hub_repos.v[i]);
	for (i = 0; i < faults.n; i++)
		if (!arm(faults.v[i]))
			opt_usage("--fault=N:KIND[:MATCH]");
	start();
	while (seconds-- > 0 && getppid() == parent)
		nanosleep(&second, NULL);
	MHD_stop_daemon(daemon_);
	return done();
}
