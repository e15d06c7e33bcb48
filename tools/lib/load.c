#include "load.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* SGLang takes PORT + 10000 for gRPC; above are the kernel's own choices */
#define LOWEST_PORT 20000
#define PORTS 12000

struct request {
	CURL *curl;
	struct strbuf body, answer;
};

struct load_run {
	struct load l;
	CURLM *multi;
	struct curl_slist *head;
	struct request *rq;	/* one for each of the batch */
	struct load_state st;
	char url[64];
	int timeout;
	uint64_t seed;
};

/* splitmix64 (Steele, Lea, Flood 2014): any number, in order, from a seed */
static uint64_t next(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* The beginning of an answer is kept for what it says when it is an error. */
static size_t on_body(char *p, size_t size, size_t n, void *data)
{
	struct request *q = data;

	if (q->answer.len < 2048)
		strbuf_add(&q->answer, p, n < 2048 ? n : 2048);
	return size * n;
}

static void write_body(struct load_run *r, struct strbuf *sb)
{
	const struct load *l = &r->l;
	uint64_t own = 1 + (uint64_t)r->st.sent, shared;
	int in = l->input, out = l->output, i, prefix;

	own = next(&r->seed) ^ own;
	if (l->nlengths) {
		in = l->lengths[(size_t)r->st.sent % l->nlengths][0];
		out = l->lengths[(size_t)r->st.sent % l->nlengths][1];
	} else if (l->input > 8) {	/* between a quarter and the whole */
		in = l->input - (int)(next(&own) % (uint64_t)(l->input * 3 / 4));
	}
	shared = l->prefixes ? 1 + (uint64_t)r->st.sent % (uint64_t)l->prefixes : 0;
	prefix = l->prefixes ? in * 3 / 4 : 0;
	strbuf_reset(sb);
	strbuf_addf(sb, "{\"input_ids\":[");
	for (i = 0; i < in; i++)
		strbuf_addf(sb, "%s%d", i ? "," : "", (int)
			    (next(i < prefix ? &shared : &own) %
			     (uint64_t)l->vocab));
	strbuf_addf(sb, "],\"sampling_params\":{\"max_new_tokens\":%d,"
		    "\"ignore_eos\":true%s%s}}", out, *l->sampling ? "," : "",
		    l->sampling);
}

static void send_one(struct load_run *r, struct request *q)
{
	write_body(r, &q->body);
	strbuf_reset(&q->answer);
	q->curl = curl_easy_init();
	curl_easy_setopt(q->curl, CURLOPT_URL, r->url);
	curl_easy_setopt(q->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(q->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(q->curl, CURLOPT_TIMEOUT, (long)r->timeout);
	curl_easy_setopt(q->curl, CURLOPT_HTTPHEADER, r->head);
	curl_easy_setopt(q->curl, CURLOPT_POSTFIELDS, q->body.buf);
	curl_easy_setopt(q->curl, CURLOPT_POSTFIELDSIZE, (long)q->body.len);
	curl_easy_setopt(q->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(q->curl, CURLOPT_WRITEDATA, q);
	curl_easy_setopt(q->curl, CURLOPT_PRIVATE, q);
	curl_multi_add_handle(r->multi, q->curl);
	r->st.sent++;
	r->st.open++;
}

struct load_run *load_start(const struct load *l, int port, int timeout)
{
	struct load_run *r = xcalloc(1, sizeof(*r));
	int i;

	r->l = *l;
	r->timeout = timeout;
	r->seed = (uint64_t)l->batch << 32 | (uint64_t)l->input;
	snprintf(r->url, sizeof(r->url), "http://127.0.0.1:%d/generate", port);
	r->multi = curl_multi_init();
	r->head = curl_slist_append(NULL, "Content-Type: application/json");
	r->head = curl_slist_append(r->head, "Expect:");
	r->rq = xcalloc((size_t)l->batch, sizeof(*r->rq));
	for (i = 0; i < l->batch; i++)
		r->rq[i] = (struct request){ NULL, STRBUF_INIT, STRBUF_INIT };
	for (i = 0; i < l->batch && r->st.sent < l->requests; i++)
		send_one(r, &r->rq[i]);
	return r;
}

static void finish(struct load_run *r, CURL *curl, CURLcode res)
{
	struct request *q;
	long status = 0;
	char *p;

	curl_easy_getinfo(curl, CURLINFO_PRIVATE, &p);
	q = (struct request *)p;
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_multi_remove_handle(r->multi, curl);
	curl_easy_cleanup(curl);
	q->curl = NULL;
	r->st.open--;
	if (res == CURLE_OK && status == 200) {
		r->st.done++;
	} else if (!r->st.failed++) {
		r->st.status = status;
		snprintf(r->st.why, sizeof(r->st.why), "%s", res == CURLE_OK ?
			 q->answer.buf : curl_easy_strerror(res));
	}
	if (r->st.sent < r->l.requests && r->st.failed <= r->l.batch)
		send_one(r, q);
}

int load_step(struct load_run *r, int ms)
{
	CURLMsg *m;
	int running, left;

	curl_multi_poll(r->multi, NULL, 0, ms, NULL);
	curl_multi_perform(r->multi, &running);
	while ((m = curl_multi_info_read(r->multi, &left)))
		if (m->msg == CURLMSG_DONE)
			finish(r, m->easy_handle, m->data.result);
	return !r->st.open;
}

void load_state(const struct load_run *r, struct load_state *s)
{
	*s = r->st;
}

void load_end(struct load_run *r)
{
	int i;

	for (i = 0; i < r->l.batch; i++) {
		if (r->rq[i].curl) {
			curl_multi_remove_handle(r->multi, r->rq[i].curl);
			curl_easy_cleanup(r->rq[i].curl);
		}
		strbuf_release(&r->rq[i].body);
		strbuf_release(&r->rq[i].answer);
	}
	curl_multi_cleanup(r->multi);
	curl_slist_free_all(r->head);
	free(r->rq);
	free(r);
}

int load_lengths(const char *path, int (**v)[2], size_t *n, struct strbuf *err)
{
	struct strbuf sb = STRBUF_INIT;
	const long most = 1 << 20;
	char *s, *end;
	long in, out;
	int ret = strbuf_read_file(&sb, path, err);

	*v = NULL;
	*n = 0;
	for (s = sb.buf; !ret && *s; s = end + strspn(end, " \t\r\n")) {
		in = strtol(s, &end, 10);
		out = end > s ? strtol(end, &end, 10) : 0;
		if (in < 1 || out < 1 || in > most || out > most) {
			strbuf_addf(err, "%s, pair %zu: INPUT OUTPUT in tokens"
				    " is needed", path, *n + 1);
			ret = -1;
			break;
		}
		*v = xrealloc(*v, (*n + 1) * sizeof(**v));
		(*v)[*n][0] = (int)in;
		(*v)[(*n)++][1] = (int)out;
	}
	if (!ret && !*n) {
		strbuf_addf(err, "%s has no lengths", path);
		ret = -1;
	}
	strbuf_release(&sb);
	return ret;
}

static size_t drop(char *p, size_t size, size_t n, void *data)
{
	(void)p;
	(void)data;
	return size * n;
}

long load_get(int port, const char *path)
{
	CURL *c = curl_easy_init();
	char url[128];
	long status = 0;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, path);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 5L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop);
	if (curl_easy_perform(c) == CURLE_OK)
		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(c);
	return status;
}

int load_free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	uint64_t seed = (uint64_t)getpid();
	int fd, i, port, res = -1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (i = 0; i < 64 && res; i++) {
		port = LOWEST_PORT + (int)(next(&seed) % PORTS);
		a.sin_port = htons((uint16_t)port);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		res = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&a, sizeof(a));
		if (fd >= 0)
			close(fd);
	}
	return res ? -1 : port;
}
