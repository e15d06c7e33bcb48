#include "github_call.h"
#include "proc.h"

#include <pthread.h>
#include <time.h>

/* ---- credentials ---- */

/* The value of oauth_token below "HOST:" in gh's hosts.yml. */
static char *hosts_token(const char *host)
{
	const char *dir = getenv("GH_CONFIG_DIR"), *home = getenv("HOME");
	const char *xdg = getenv("XDG_CONFIG_HOME"), *p, *nl;
	struct strbuf path = STRBUF_INIT, text = STRBUF_INIT_MAX(1 << 20);
	struct strbuf no = STRBUF_INIT;
	bool in = false;
	char *token = NULL;
	size_t n, indent;

	if (dir && *dir)
		strbuf_addf(&path, "%s/hosts.yml", dir);
	else if (xdg && *xdg)
		strbuf_addf(&path, "%s/gh/hosts.yml", xdg);
	else
		strbuf_addf(&path, "%s/.config/gh/hosts.yml", home ? home : "");
	strbuf_read_file(&text, path.buf, &no);
	for (p = text.buf; *p && !token; p = *nl ? nl + 1 : nl) {
		nl = p + strcspn(p, "\n");
		indent = strspn(p, " ");
		n = (size_t)(nl - p) - indent;
		if (!indent)
			in = n > strlen(host) && p[strlen(host)] == ':' &&
				!strncmp(p, host, strlen(host));
		else if (in && !strncmp(p + indent, "oauth_token:", 12))
			token = xstrndup(p + indent + 12 +
					 strspn(p + indent + 12, " \"'"),
					 strcspn(p + indent + 12 + strspn(p +
					 indent + 12, " \"'"), " \"'\r\n"));
	}
	strbuf_release(&path);
	strbuf_release(&text);
	strbuf_release(&no);
	return token;
}

/* gh may keep it in the desktop's key ring. */
static char *ring_token(const char *host)
{
	struct strbuf out = STRBUF_INIT, errs = STRBUF_INIT, no = STRBUF_INIT;
	struct proc p = { .argv = (const char *[]){ "gh", "auth", "token",
		"--hostname", host, NULL }, .out = &out, .errs = &errs };
	char *token = NULL;

	if (!proc_run(&p, &no)) {
		strbuf_rtrim(&out);
		if (out.len)
			token = xstrdup(out.buf);
	}
	strbuf_release(&out);
	strbuf_release(&errs);
	strbuf_release(&no);
	return token;
}

void github_init(struct github *g)
{
	const char *api = getenv("GITHUB_API_URL"), *host = getenv("GH_HOST");
	const char *t = getenv("GH_TOKEN");
	struct strbuf url = STRBUF_INIT;

	*g = (struct github){ .h = http_open(), .known = json_object() };
	t = t && *t ? t : getenv("GITHUB_TOKEN");
	host = host && *host && strcmp(host, "github.com") ? host : NULL;
	if (api && *api)
		strbuf_addstr(&url, api);
	else if (host)
		strbuf_addf(&url, "https://%s/api/v3", host);
	else
		strbuf_addstr(&url, "https://api.github.com");
	while (url.len && url.buf[url.len - 1] == '/')
		url.buf[--url.len] = '\0';
	g->api = strbuf_detach(&url);
	host = host ? host : "github.com";
	g->token = t && *t ? xstrdup(t) : hosts_token(host);
	if (!g->token && !http_is_loopback(g->api))
		g->token = ring_token(host);
}

void github_copy(struct github *g, const struct github *from)
{
	*g = (struct github){ .api = xstrdup(from->api),
		.token = from->token ? xstrdup(from->token) : NULL,
		.login = from->login ? xstrdup(from->login) : NULL,
		.h = http_open(), .known = json_object() };
}

void github_release(struct github *g)
{
	free(g->api);
	free(g->token);
	free(g->login);
	json_decref(g->known);
	http_close(g->h);
}

/* ---- one request ---- */

static pthread_mutex_t pace_lock = PTHREAD_MUTEX_INITIALIZER;

/* Changes go one after the other; pace_lock is held meanwhile. */
static void keep_pace(const struct github *g)
{
	static struct timespec last;
	struct timespec now, wait;
	long ms;

	if (http_is_loopback(g->api))
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (now.tv_sec - last.tv_sec) * 1000 +
		(now.tv_nsec - last.tv_nsec) / 1000000;
	if (last.tv_sec && ms < 1000) {
		wait = (struct timespec){ 0, (1000 - ms) * 1000000 };
		nanosleep(&wait, NULL);
	}
	clock_gettime(CLOCK_MONOTONIC, &last);
}

int github_fail(struct github *g, const struct github_answer *a, const char *path,
		struct strbuf *err)
{
	const char *said = json_get_str(a->json, "message");

	g->code = a->status == 409 || a->status >= 500 || a->status == 429 ?
		EX_AGAIN : EX_REFUSED;
	if (a->status == 401)
		strbuf_addstr(err, "GitHub does not know the token; run `gh"
			      " auth login` or set GH_TOKEN");
	else if (a->status == 429)
		strbuf_addstr(err, "GitHub's rate limit is used up; run it"
			      " again later");
	else
		strbuf_addf(err, "GitHub answers %ld to %s: %s", a->status,
			    path, said ? said : "no reason given");
	return -1;
}

int github_ask(struct github *g, struct github_answer *a, const char *method,
	       const char *path, json_t *body, bool repeat,
	       struct strbuf *err)
{
	static const char *const headers[] = {
		"Accept: application/vnd.github+json",
		"X-GitHub-Api-Version: 2022-11-28",
		"Content-Type: application/json", NULL };
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct strbuf url = STRBUF_INIT, out = STRBUF_INIT, no = STRBUF_INIT;
	struct http_call k = { .method = method, .token = g->token,
		.headers = headers, .body = text, .repeat = repeat,
		.body_len = text ? strlen(text) : 0, .max = 64 << 20 };
	bool change = strcmp(method, "GET");
	int ret;

	*a = (struct github_answer){ .json = NULL };
	strbuf_addf(&url, "%s%s", g->api, path);
	k.url = url.buf;
	if (change) {
		pthread_mutex_lock(&pace_lock);
		keep_pace(g);
	}
	ret = http_do(g->h, &k, &out, err);
	if (change)
		pthread_mutex_unlock(&pace_lock);
	g->code = EX_AGAIN;
	a->status = k.status;
	a->unsure = k.unsure;
	a->more = k.more;
	if (!ret)
		a->json = json_parse(out.buf, out.len, "the answer", &no);
	if (!ret && k.later > HTTP_PATIENCE) {
		strbuf_addf(err, "GitHub asks to wait %ld s; run it again"
			    " then", k.later);
		ret = -1;
	} else if (!ret && !a->json && k.status < 300) {
		strbuf_addf(err, "GitHub's answer to %s is no JSON", path);
		a->unsure = true;
		ret = -1;
	}
	json_decref(body);
	free(text);
	strbuf_release(&url);
	strbuf_release(&out);
	strbuf_release(&no);
	return ret;
}

json_t *github_get(struct github *g, bool *more, struct strbuf *err,
		   const char *fmt, ...)
{
	struct strbuf path = STRBUF_INIT;
	struct github_answer a;
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(&path, fmt, ap);
	va_end(ap);
	if (!github_ask(g, &a, "GET", path.buf, NULL, true, err) && a.status != 200) {
		github_fail(g, &a, path.buf, err);
		json_decref(a.json);
		a.json = NULL;
	}
	if (more)
		*more = a.more;
	strbuf_release(&path);
	return a.json;
}

int github_user(struct github *g, struct strbuf *err)
{
	json_t *j = github_get(g, NULL, err, "/user");
	const char *login = json_get_str(j, "login");

	if (j && !login)
		strbuf_addstr(err, "GitHub does not tell whose token it is");
	if (login) {
		free(g->login);
		g->login = xstrdup(login);
	}
	json_decref(j);
	return login ? 0 : -1;
}
