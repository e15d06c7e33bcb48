#include "pr_files.h"
#include "outfile.h"

#include <ctype.h>
#include <dirent.h>

#define MOST_OF_A_LOG ((size_t)18 << 10)	/* GitHub's bodies hold 64 KiB */

int pr_take(struct pr *p, const char *name, const char *rel,
	    struct strbuf *err)
{
	struct strbuf from = STRBUF_INIT, to = STRBUF_INIT, data = STRBUF_INIT;
	int ret = -1;

	strbuf_addf(&from, "%s/flashinfer-trace/%s", p->root, rel);
	strbuf_addf(&to, "%s/%s/dataset/%s", p->outbox, name, rel);
	strbuf_addf(&p->list, "%s\n", to.buf);
	if (outfile_mkdirs(to.buf, err))
		goto out;
	unlink(to.buf);
	ret = link(from.buf, to.buf);
	if (ret)
		ret = strbuf_read_file(&data, from.buf, err) ||
			outfile_write(to.buf, data.buf, data.len, err) ? -1
								       : 0;
out:
	strbuf_release(&from);
	strbuf_release(&to);
	strbuf_release(&data);
	return ret;
}

json_t *pr_workloads(const struct pr *p, const char *tree, const char *op,
		     const char *name)
{
	struct strbuf path = STRBUF_INIT, sb = STRBUF_INIT_MAX(1 << 28);
	struct strbuf no = STRBUF_INIT;
	json_t *out = json_array(), *j;
	const char *s, *nl;

	strbuf_addf(&path, "%s/%s/workloads/%s/%s.jsonl", p->root, tree, op,
		    name);
	strbuf_read_file(&sb, path.buf, &no);
	for (s = sb.buf; *s; s = *nl ? nl + 1 : nl) {
		nl = s + strcspn(s, "\n");
		if (strspn(s, " \t\r") >= (size_t)(nl - s))
			continue;
		j = json_parse(s, (size_t)(nl - s), path.buf, &no);
		json_array_append_new(out, j ? j : json_null());
	}
	strbuf_release(&path);
	strbuf_release(&sb);
	strbuf_release(&no);
	return out;
}

size_t pr_entries(const struct pr *p, const char *op, const char *name)
{
	json_t *lines = pr_workloads(p, "flashinfer-trace", op, name);
	size_t n = json_array_size(lines);

	json_decref(lines);
	return n;
}

json_t *pr_blobs(const struct pr *p, const char *op, const char *name)
{
	json_t *lines = pr_workloads(p, "flashinfer-trace", op, name), *l, *in;
	struct strbuf below = STRBUF_INIT;
	json_t *out = json_array();
	const char *key;
	size_t i;

	/* what lies elsewhere is another definition's, or no blob at all */
	strbuf_addf(&below, "blob/workloads/%s/%s/", op, name);
	json_array_foreach(lines, i, l)
		json_object_foreach(json_object_get(json_object_get(l,
				    "workload"), "inputs"), key, in) {
			const char *path = json_get_str(in, "path");

			if (path && !strncmp(path, "./", 2))
				path += 2;
			if (path && !strncmp(path, below.buf, below.len) &&
			    !strstr(path, ".."))
				json_array_add(out, path);
		}
	json_decref(lines);
	strbuf_release(&below);
	return out;
}

/* ---- logs ---- */

static bool is_token_start(const char *s)
{
	static const char *const heads[] = { "hf_", "ghp_", "gho_", "ghu_",
		"ghs_", "ghr_", "github_pat_" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(heads); i++)
		if (!strncmp(s, heads[i], strlen(heads[i])))
			return true;
	return false;
}

void pr_redact(struct strbuf *text)
{
	static const char *const vars[] = { "HF_TOKEN", "GH_TOKEN",
		"GITHUB_TOKEN", "HUGGING_FACE_HUB_TOKEN" };
	struct strbuf out = STRBUF_INIT;
	size_t i = 0, n, v;

	while (i < text->len) {
		const char *s = text->buf + i;

		n = 0;
		for (v = 0; v < ARRAY_SIZE(vars) && !n; v++) {
			const char *t = getenv(vars[v]);

			if (t && strlen(t) >= 6 && !strncmp(s, t, strlen(t)))
				n = strlen(t);
		}
		if (!n && is_token_start(s)) {
			while (isalnum((unsigned char)s[n]) || s[n] == '_')
				n++;
			n = n < 20 ? 0 : n;
		}
		if (n) {
			strbuf_addstr(&out, "[token]");
			i += n;
		} else {
			strbuf_addch(&out, *s ? *s : ' ');
			i++;
		}
	}
	strbuf_release(text);
	*text = out;
}

/* A file, its middle cut out when it is long. */
static void add_log(struct strbuf *out, const char *path, const char *head)
{
	struct strbuf sb = STRBUF_INIT_MAX((size_t)1 << 28);
	struct strbuf no = STRBUF_INIT;
	size_t half = MOST_OF_A_LOG / 2, from, cut = 0, i;

	if (!strbuf_read_file(&sb, path, &no) && sb.len) {
		pr_redact(&sb);
		if (head)
			strbuf_addf(out, "%s\n", head);
		if (sb.len <= MOST_OF_A_LOG) {
			strbuf_add(out, sb.buf, sb.len);
		} else {
			from = sb.len - half;
			while (half && sb.buf[half - 1] != '\n')
				half--;
			while (from < sb.len && sb.buf[from - 1] != '\n')
				from++;
			for (i = half; i < from; i++)
				cut += sb.buf[i] == '\n';
			strbuf_add(out, sb.buf, half);
			strbuf_addf(out, "[... %zu lines left out ...]\n",
				    cut);
			strbuf_add(out, sb.buf + from, sb.len - from);
		}
		strbuf_rtrim(out);
	}
	strbuf_release(&sb);
	strbuf_release(&no);
}

void pr_pytest(const struct pr *p, const char *name, struct strbuf *out)
{
	struct strbuf path = STRBUF_INIT;

	strbuf_addf(&path, "%s/pytest/%s.txt", p->run, name);
	add_log(out, path.buf, NULL);
	strbuf_release(&path);
}

json_t *pr_session(const struct pr *p, const char *name, char **folder)
{
	struct strbuf path = STRBUF_INIT, no = STRBUF_INIT;
	struct dirent **v = NULL;
	json_t *found = NULL, *j;
	int n, i;

	strbuf_addf(&path, "%s/sessions", p->run);
	n = scandir(path.buf, &v, dir_visible, dir_by_name);
	for (i = 0; i < n; i++) {
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/sessions/%s", p->run, v[i]->d_name);
		if (!found) {
			char *dir = xstrdup(path.buf);

			strbuf_addstr(&path, "/session.json");
			j = json_load_path(path.buf, JSON_MAX_CONFIG, &no);
			if (json_integer_value(json_object_get(json_object_get(
			    json_object_get(j, "definitions"), name),
			    "entries")) > 0) {
				found = json_incref(j);
				*folder = xstrdup(dir);
			}
			json_decref(j);
			free(dir);
		}
		free(v[i]);
	}
	free(v);
	strbuf_release(&path);
	strbuf_release(&no);
	return found;
}

void pr_collection_log(const struct pr *p, const char *name,
		       struct strbuf *out)
{
	struct strbuf path = STRBUF_INIT;
	char *folder = NULL;
	json_t *s = pr_session(p, name, &folder);

	if (s) {
		strbuf_addf(&path, "%s/collection.log", folder);
		add_log(out, path.buf, NULL);
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/server.log", folder);
		if (out->len)
			strbuf_addch(out, '\n');
		add_log(out, path.buf, "==> server.log <==");
	}
	json_decref(s);
	free(folder);
	strbuf_release(&path);
}
