#include "pr.h"
#include "github.h"
#include "hub.h"

/* The number at the end of a URL; 0: there is none. */
static long number_at_end(const char *url)
{
	const char *n = url ? strrchr(url, '/') : NULL;

	return n ? strtol(n + 1, NULL, 10) : 0;
}

static void check_pull(struct github *g, const struct pr *p, json_t *it,
		       const char *name, long number)
{
	json_t *checks = json_object_get(it, "checks"), *files, *v;
	const char *repo = json_get_str(it, "repo"), *other = NULL;
	struct strbuf err = STRBUF_INIT;
	char *url = pr_url(p, name, "dataset"), *body;
	size_t i;

	files = github_pull_files(g, repo, number, &err);
	json_array_foreach(files, i, v)
		if (strcmp(json_string_value(v), "docs/model_coverage.mdx"))
			other = json_string_value(v);
	pr_check(checks, "Single-file change, on GitHub", files && !other &&
		 json_array_size(files), "push a commit that takes it out",
		 "%s", !files ? err.buf : other ? other :
		 "docs/model_coverage.mdx alone");
	strbuf_reset(&err);
	body = github_body(g, repo, number, &err);
	pr_check(checks, "PR 2 link, on GitHub", body && url &&
		 strstr(body, url), "make onboard again", "%s", !body ?
		 err.buf : url ? url : "the dataset pull request is not sent");
	free(body);
	free(url);
	json_decref(files);
	strbuf_release(&err);
}

static void check_dataset(struct hub *h, json_t *it, long number)
{
	static const char *const sections[] = { "## Provenance",
						"## Reference Test" };
	json_t *checks = json_object_get(it, "checks");
	struct strbuf err = STRBUF_INIT;
	char *body = hub_body(h, number, &err);
	const char *lacks = NULL;
	size_t i;

	for (i = 0; body && i < ARRAY_SIZE(sections); i++)
		if (!strstr(body, sections[i]))
			lacks = sections[i];
	pr_check(checks, "Body, on the Hub", body && !lacks,
		 "make onboard again", "%s%s", !body ? err.buf : lacks ?
		 "it lacks " : "it has its sections", body && lacks ? lacks :
		 "");
	free(body);
	strbuf_release(&err);
}

void pr_check_sent(struct pr *p)
{
	struct github g;
	struct hub h;
	json_t *it;
	size_t i;

	github_init(&g);
	hub_init(&h, pr_home("flashinfer_trace"));
	json_array_foreach(p->items, i, it) {
		const char *name = json_string_value(json_array_get(
				json_object_get(it, "names"), 0));
		char *url = pr_url(p, name, json_get_str(it, "kind"));
		long n = number_at_end(url);

		if (n && pr_is(it, "kind", "coverage") && g.token)
			check_pull(&g, p, it, name, n);
		if (n && pr_is(it, "kind", "dataset") && h.token)
			check_dataset(&h, it, n);
		free(url);
	}
	github_release(&g);
	hub_release(&h);
}
