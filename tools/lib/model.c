#include "model.h"

#include <ctype.h>

static bool hub_part(const char *s, size_t n)
{
	size_t i;

	if (!n || n > 96 || s[0] == '.' || s[0] == '-')
		return false;
	for (i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("._-", s[i]))
			return false;
	return true;
}

bool model_slug_ok(const char *slug)
{
	const char *p;

	if (!hub_part(slug, strlen(slug)) || slug[0] == '_')
		return false;
	for (p = slug; *p; p++)
		if (isupper((unsigned char)*p) || *p == '_')
			return false;
	return true;
}

bool model_hub_id_ok(const char *id)
{
	const char *slash = strchr(id, '/');

	return slash && hub_part(id, (size_t)(slash - id)) &&
		hub_part(slash + 1, strlen(slash + 1));
}

void model_slug_of(struct strbuf *sb, const char *hub_id)
{
	const char *slash = strrchr(hub_id, '/');

	for (hub_id = slash ? slash + 1 : hub_id; *hub_id; hub_id++)
		strbuf_addch(sb, *hub_id == '_' ? '-' :
			     tolower((unsigned char)*hub_id));
}

static bool cut(struct strbuf *sb, const char *tail)
{
	size_t n = strlen(tail);

	if (sb->len <= n || strcmp(sb->buf + sb->len - n, tail))
		return false;
	sb->len -= n;
	sb->buf[sb->len] = '\0';
	return true;
}

static bool cut_date(struct strbuf *sb)
{
	const char *p = sb->buf + sb->len - 5;

	if (sb->len < 6 || p[0] != '-' || strspn(p + 1, "0123456789") != 4)
		return false;
	sb->len -= 5;
	sb->buf[sb->len] = '\0';
	return true;
}

void model_family_of(struct strbuf *sb, const char *hub_id)
{
	static const char *const tails[] = { "-instruct", "-base", "-it",
		"-chat", "-hf", "-thinking", "-fp8", "-bf16", "-nvfp4",
		"-fp4" };
	struct strbuf s = STRBUF_INIT;
	bool again = true;
	size_t i;

	model_slug_of(&s, hub_id);
	while (again) {
		again = cut_date(&s);
		for (i = 0; i < ARRAY_SIZE(tails); i++)
			again |= cut(&s, tails[i]);
	}
	strbuf_addstr(sb, strncmp(s.buf, "meta-", 5) ? s.buf : s.buf + 5);
	strbuf_release(&s);
}

/* One of the names that a page's name with slashes stands for. */
static bool is_family(const char *name, const char *want)
{
	struct strbuf sb = STRBUF_INIT, fam = STRBUF_INIT;
	bool yes;

	for (; *name; name++)
		strbuf_addch(&sb, *name == ' ' ? '-' : *name);
	model_family_of(&fam, sb.buf);
	yes = !strcmp(fam.buf, want);
	strbuf_release(&sb);
	strbuf_release(&fam);
	return yes;
}

bool model_page_covers(const char *name, const char *slug)
{
	struct strbuf want = STRBUF_INIT, one = STRBUF_INIT, s = STRBUF_INIT;
	size_t head, tail, from, n;
	bool yes = false;

	model_family_of(&want, slug);
	for (; *name; name++)	/* "A / B" is "A/B" */
		if (*name != ' ' || (name[1] != '/' && (!s.len ||
				     s.buf[s.len - 1] != '/')))
			strbuf_addch(&s, *name);
	/* what stands before the first word with a slash, and after the last */
	for (head = strcspn(s.buf, "/"); head && s.buf[head - 1] != ' '; head--)
		;
	tail = strrchr(s.buf, '/') ? (size_t)(strrchr(s.buf, '/') - s.buf) : 0;
	tail += strcspn(s.buf + tail, " ");
	for (from = strchr(s.buf, '/') ? head : 0; !yes && from < s.len;
	     from += n + 1) {
		bool parts = strchr(s.buf, '/');

		n = parts ? strcspn(s.buf + from, "/") : s.len;
		strbuf_reset(&one);
		if (parts)
			strbuf_add(&one, s.buf, head);
		if (parts && from + n > tail)
			n = tail - from;
		strbuf_add(&one, s.buf + from, n);
		if (parts)
			strbuf_addstr(&one, s.buf + tail);
		yes = is_family(one.buf, want.buf);
		if (parts && from + n >= tail)
			break;
	}
	strbuf_release(&want);
	strbuf_release(&one);
	strbuf_release(&s);
	return yes;
}

static char *first_word(const char *path)
{
	struct strbuf sb = STRBUF_INIT_MAX(65536), no = STRBUF_INIT;
	char *token = NULL;

	if (!strbuf_read_file(&sb, path, &no)) {
		strbuf_rtrim(&sb);
		if (sb.len && strcspn(sb.buf, " \t\r\n") == sb.len)
			token = xstrdup(sb.buf);
	}
	strbuf_release(&sb);
	strbuf_release(&no);
	return token;
}

const char *model_hub_endpoint(void)
{
	const char *e = getenv("HF_ENDPOINT");

	return e && *e ? e : "https://huggingface.co";
}

char *model_hub_token(void)
{
	const char *t = getenv("HF_TOKEN"), *path = getenv("HF_TOKEN_PATH");
	const char *hf = getenv("HF_HOME"), *home = getenv("HOME");
	struct strbuf sb = STRBUF_INIT;
	char *token;

	if (t && *t)
		return xstrdup(t);
	if (path && *path)
		strbuf_addstr(&sb, path);
	else if (hf && *hf)
		strbuf_addf(&sb, "%s/token", hf);
	else
		strbuf_addf(&sb, "%s/.cache/huggingface/token",
			    home ? home : "");
	token = first_word(sb.buf);
	strbuf_release(&sb);
	return token;
}

/*
 * Adds what the cookbook says of the model's family, the names that go on
 * with `next` after it: NUL for its variants, '.' for later minor versions.
 */
static void add_family(json_t *out, const json_t *models, const char *family,
		       char next)
{
	static const char *const keys[] = { "tp", "ep", "page_sizes" };
	struct strbuf theirs = STRBUF_INIT;
	size_t n = strlen(family), i;
	const char *id;
	json_t *v;

	json_object_foreach((json_t *)models, id, v) {
		strbuf_reset(&theirs);
		model_family_of(&theirs, id);
		if (strncmp(family, theirs.buf, n) || theirs.buf[n] != next)
			continue;
		for (i = 0; i < ARRAY_SIZE(keys); i++)
			json_merge_numbers(json_object_get(out, keys[i]),
				   json_object_get(v, keys[i]));
		if (json_object_get(out, "file"))
			continue;
		json_object_set(out, "file", json_object_get(v, "file"));
		json_object_set(out, "line", json_object_get(v, "line"));
		json_object_set_new(out, "model", json_string(id));
	}
	strbuf_release(&theirs);
}

json_t *model_cookbook_facts(const json_t *cookbook, const char *id)
{
	json_t *models = json_object_get(cookbook, "models"), *v, *out;
	struct strbuf family = STRBUF_INIT;

	v = json_object_get(models, id);
	if (v) {
		out = json_deep_copy(v);
		json_object_set_new(out, "model", json_string(id));
		return out;
	}
	out = json_pack("{s:[], s:[], s:[]}", "tp", "ep", "page_sizes");
	model_family_of(&family, id);
	add_family(out, models, family.buf, '\0');
	if (!json_object_get(out, "file"))
		add_family(out, models, family.buf, '.');
	strbuf_release(&family);
	return out;
}

char *model_issue_note(const char *run_dir, const char *definition)
{
	struct strbuf sb = STRBUF_INIT_MAX(4096), path = STRBUF_INIT;
	struct strbuf no = STRBUF_INIT;
	const char *n = NULL;

	strbuf_addf(&path, "%s/url/%s.issue", run_dir, definition);
	if (!strbuf_read_file(&sb, path.buf, &no)) {
		strbuf_rtrim(&sb);
		n = strrchr(sb.buf, '/');
	}
	strbuf_reset(&path);
	if (n && n[1] && strspn(n + 1, "0123456789") == strlen(n + 1))
		strbuf_addf(&path, "See flashinfer-ai/flashinfer#%s for kernel"
			    " implementation request.", n + 1);
	strbuf_release(&sb);
	strbuf_release(&no);
	if (path.len)
		return strbuf_detach(&path);
	strbuf_release(&path);
	return NULL;
}
