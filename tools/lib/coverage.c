#include "coverage.h"
#include "index.h"
#include "kernels.h"
#include "model.h"

static const char *const mark[] = { "❌", "🟡", "✅" };
enum { NONE, PART, FULL };

struct page {
	char **line;
	size_t n;
	const struct coverage *c;
	json_t *report;
};

static int status_of(const char *s)
{
	return !strcmp(s, "full") ? FULL : !strcmp(s, "part") ? PART : NONE;
}

static void split(struct page *p, const char *text, size_t len)
{
	const char *end = text + len, *nl;
	size_t lines = 1;

	for (nl = text; (nl = memchr(nl, '\n', (size_t)(end - nl))); nl++)
		lines++;
	p->line = xcalloc(lines, sizeof(*p->line));
	while (text < end) {
		nl = memchr(text, '\n', (size_t)(end - text));
		nl = nl ? nl : end;
		p->line[p->n++] = xstrndup(text, (size_t)(nl - text));
		text = nl + 1;
	}
}

static void changed(struct page *p, size_t at)
{
	json_array_append_new(json_object_get(p->report, "changed"),
			      json_string(p->line[at]));
}

static void set_line(struct page *p, size_t at, char *text)
{
	if (!strcmp(p->line[at], text)) {
		free(text);
		return;
	}
	free(p->line[at]);
	p->line[at] = text;
	changed(p, at);
}

static void insert(struct page *p, size_t at, char *text)
{
	p->line = xrealloc(p->line, (p->n + 1) * sizeof(*p->line));
	memmove(p->line + at + 1, p->line + at,
		(p->n - at) * sizeof(*p->line));
	p->line[at] = text;
	p->n++;
	changed(p, at);
}

/* list: "contradictions" or "notes" */
static void tell(struct page *p, const char *list, size_t at, const char *row,
		 const char *reason)
{
	json_array_append_new(json_object_get(p->report, list),
			      json_pack("{s:I, s:s, s:s}", "line",
					(json_int_t)at + 1, "row", row,
					"reason", reason));
}

/* "| `name` | ..." -> name, the caller's to free; NULL for other lines. */
static char *row_name(const char *line)
{
	const char *end;
	char *name;

	if (strncmp(line, "| `", 3) || !(end = strchr(line + 3, '`')))
		return NULL;
	name = xstrndup(line + 3, (size_t)(end - line - 3));
	if (kernel_name_ok(name))
		return name;
	free(name);
	return NULL;
}

static int row_status(const char *line)
{
	const char *cell = NULL, *s;
	int i;

	/* the last cell, whatever stands beside the mark */
	for (s = line; (s = strstr(s, "| ")); s++)
		cell = s;
	for (i = FULL; cell && i >= NONE; i--)
		if (strstr(cell, mark[i]))
			return i;
	return -1;
}

static char *with_status(const char *line, int from, int to)
{
	struct strbuf sb = STRBUF_INIT;
	const char *s, *last = NULL;

	for (s = line; (s = strstr(s, mark[from])); s++)
		last = s;
	strbuf_add(&sb, line, (size_t)(last - line));
	strbuf_addstr(&sb, mark[to]);
	strbuf_addstr(&sb, last + strlen(mark[from]));
	return strbuf_detach(&sb);
}

static const json_t *our_row(const struct page *p, const char *name)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)p->c->rows, i, v)
		if (!strcmp(json_get_str(v, "definition_name"), name))
			return v;
	return NULL;
}

/* Whether the config could give a name of this kind, but not this one. */
static bool of_a_known_kind(const struct page *p, const char *name)
{
	const char *other;
	json_t *op;
	size_t n = strcspn(name, "0123456789");

	json_object_foreach((json_t *)p->c->possible, other, op)
		if (strcspn(other, "0123456789") == n &&
		    !strncmp(other, name, n))
			return true;
	return false;
}

static void check_row(struct page *p, size_t at, const char *name)
{
	const json_t *ours = our_row(p, name);
	int had = row_status(p->line[at]), now;

	if (!json_object_get(p->c->possible, name)) {
		if (of_a_known_kind(p, name))
			tell(p, "contradictions", at, name, "the config does"
			     " not give this name at any TP, EP and page"
			     " size");
		return;
	}
	if (!ours || had < 0)
		return;
	now = status_of(json_get_str(ours, "status"));
	if (now > had)
		set_line(p, at, with_status(p->line[at], had, now));
	else if (now < had)
		tell(p, "notes", at, name, now == NONE ?
		     "the dataset has no such definition" :
		     "the dataset has no workloads for it");
}

/* The counts of the rows from..to as the line under them states. */
static char *coverage_line(const struct page *p, size_t from, size_t to)
{
	struct strbuf sb = STRBUF_INIT, missing = STRBUF_INIT;
	size_t all = 0, there = 0, full = 0, i;

	for (i = from; i < to; i++) {
		char *name = row_name(p->line[i]);
		int s = name ? row_status(p->line[i]) : -1;

		if (s >= NONE) {
			all++;
			there += s > NONE;
			full += s == FULL;
			if (s == NONE)
				strbuf_addf(&missing, "%s`%s`", missing.len ?
					    ", " : " Missing: ", name);
		}
		free(name);
	}
	strbuf_addf(&sb, "**Coverage**: %zu / %zu definitions present.%s%s",
		    there, all, missing.buf, missing.len ? "." : "");
	if (all && full == all)
		strbuf_addstr(&sb, " Fully covered.");
	else if (there > full)
		strbuf_addf(&sb, " Workloads not yet collected: %zu.",
			    there - full);
	strbuf_release(&missing);
	return strbuf_detach(&sb);
}

/* A line that states the right counts keeps its words. */
static void fix_count(struct page *p, size_t from, size_t at, bool touched)
{
	char *line = coverage_line(p, from, at);
	size_t n = strcspn(line, "d");	/* up to "definitions" */

	if (strncmp(p->line[at], line, n)) {
		if (!touched)
			tell(p, "contradictions", at, p->line[at],
			     "the table above counts otherwise");
		set_line(p, at, line);
	} else if (touched) {
		set_line(p, at, line);
	} else {
		free(line);
	}
}

static bool starts(const char *line, const char *head)
{
	return !strncmp(line, head, strlen(head));
}

static char *new_row(const char *name, const char *op, int status)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_addf(&sb, "| `%s` | %s | %s |", name, op, mark[status]);
	return strbuf_detach(&sb);
}

/* Rows that the section lacks, after the last of their op_type. */
static size_t add_rows(struct page *p, size_t from, size_t to)
{
	size_t i, k, last, last_of_op;
	json_t *v;

	json_array_foreach((json_t *)p->c->rows, k, v) {
		const char *name = json_get_str(v, "definition_name");
		const char *op = json_get_str(v, "op_type");
		int status = status_of(json_get_str(v, "status"));
		bool there = status == NONE;

		last = last_of_op = 0;
		for (i = from; i < to && !there; i++) {
			char *row = row_name(p->line[i]);
			const char *cell = row ? strstr(p->line[i], "` | ")
					       : NULL;

			there = row && !strcmp(row, name);
			if (row || starts(p->line[i], "|"))
				last = i;
			if (cell && starts(cell + 4, op))
				last_of_op = i;
			free(row);
			if (starts(p->line[i], "**Coverage**"))
				break;
		}
		if (there || !last)
			continue;
		insert(p, (last_of_op ? last_of_op : last) + 1,
		       new_row(name, op, status));
		to++;
	}
	return to;
}

static void fix_section(struct page *p, size_t from)
{
	size_t before = json_array_size(json_object_get(p->report,
							"changed"));
	size_t to, i, start;

	for (to = from + 1; to < p->n && !starts(p->line[to], "## "); to++)
		;
	for (i = from; i < to; i++) {
		char *name = row_name(p->line[i]);

		if (name)
			check_row(p, i, name);
		free(name);
	}
	to = add_rows(p, from, to);
	for (i = start = from; i < to; i++)
		if (starts(p->line[i], "**Coverage**:")) {
			fix_count(p, start, i, json_array_size(json_object_get(
				  p->report, "changed")) > before);
			start = i + 1;
		}
}

static void add_section(struct page *p)
{
	struct strbuf sb = STRBUF_INIT;
	size_t from, k;
	json_t *v;

	while (p->n && !*p->line[p->n - 1])
		free(p->line[--p->n]);
	if (p->n && strcmp(p->line[p->n - 1], "---")) {
		insert(p, p->n, xstrdup(""));
		insert(p, p->n, xstrdup("---"));
	}
	insert(p, p->n, xstrdup(""));
	strbuf_addf(&sb, "## %s", p->c->display);
	insert(p, p->n, strbuf_detach(&sb));
	from = p->n;
	insert(p, p->n, xstrdup(""));
	strbuf_addf(&sb, "**Architecture**: %s", p->c->architecture);
	insert(p, p->n, strbuf_detach(&sb));
	insert(p, p->n, xstrdup(""));
	insert(p, p->n, xstrdup("| Definition | Op Type | Status |"));
	insert(p, p->n, xstrdup("|-----------|---------|:------:|"));
	json_array_foreach((json_t *)p->c->rows, k, v)
		insert(p, p->n, new_row(json_get_str(v, "definition_name"),
			json_get_str(v, "op_type"),
			status_of(json_get_str(v, "status"))));
	insert(p, p->n, xstrdup(""));
	insert(p, p->n, coverage_line(p, from, p->n));
	insert(p, p->n, xstrdup(""));
	insert(p, p->n, xstrdup("---"));
}

static size_t find_section(const struct page *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (starts(p->line[i], "## ") &&
		    model_page_covers(p->line[i] + 3, p->c->slug))
			return i;
	return p->n;
}

/* How the whole section stands, as the summary says it. */
static const char *summary_of(const struct page *p, size_t from)
{
	bool all = true, some = false;
	size_t i;

	for (i = from + 1; i < p->n && !starts(p->line[i], "## "); i++) {
		char *name = row_name(p->line[i]);
		int s = name ? row_status(p->line[i]) : -1;

		if (s >= NONE) {
			all &= s == FULL;
			some |= s > NONE;
		}
		free(name);
	}
	return some && all ? "✅ Fully covered" : some ? "🟡 Partial"
						       : "❌ Not covered";
}

static void fix_summary(struct page *p, size_t section)
{
	const char *now = summary_of(p, section);
	struct strbuf sb = STRBUF_INIT;
	size_t i, last = 0;
	bool in = false;

	for (i = 0; i < p->n; i++) {
		const char *line = p->line[i], *end, *cell;
		char *model;
		bool ours;

		if (starts(line, "## "))
			in = starts(line, "## Summary");
		if (!in || !starts(line, "| ") || starts(line, "| Model "))
			continue;
		last = i;
		end = strstr(line + 2, " |");
		if (!end)
			continue;
		model = xstrndup(line + 2, (size_t)(end - line - 2));
		ours = model_page_covers(model, p->c->slug);
		free(model);
		cell = ours ? strstr(end + 2, "| ") : NULL;
		if (!cell)
			continue;
		strbuf_add(&sb, line, (size_t)(cell + 2 - line));
		strbuf_addf(&sb, "%s |", now);
		set_line(p, i, strbuf_detach(&sb));
		return;
	}
	strbuf_addf(&sb, "| %s | %s | %s |", p->c->display,
		    p->c->architecture, now);
	insert(p, last + 1, strbuf_detach(&sb));
}

static bool has_op(const json_t *kernels, const char *op)
{
	json_t *k;
	size_t i;

	json_array_foreach((json_t *)kernels, i, k)
		if (!strncmp(json_get_str(k, "op_type"), op, strlen(op)))
			return true;
	return false;
}

void coverage_architecture(struct strbuf *sb, const json_t *kernels)
{
	static const struct {
		const char *op, *name;
	} parts[] = {
		{ "mla_", "MLA" }, { "dsa_", "DSA" }, { "gdn", "GDN" },
		{ "kda", "KDA" }, { "lightning_attn", "Lightning Attn" },
		{ "gqa_", "GQA" }, { "mamba_ssu", "Mamba2" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++)
		if (has_op(kernels, parts[i].op))
			strbuf_addf(sb, "%s%s", sb->len ? " + " : "",
				    parts[i].name);
	strbuf_addf(sb, "%s%s", sb->len ? " + " : "",
		    has_op(kernels, "moe") ? "MoE" : "Dense");
}

json_t *coverage_update(struct strbuf *out, const char *text, size_t len,
			const struct coverage *c, struct strbuf *err)
{
	struct page p = { .c = c };
	json_t *models = index_coverage_text(text, len, "the page", err);
	size_t section, i;

	if (models && memchr(text, '\0', len)) {
		strbuf_addf(err, "it has a NUL byte");
		json_decref(models);
		return NULL;
	}
	if (!models)
		return NULL;
	json_decref(models);
	p.report = json_pack("{s:b, s:[], s:[], s:[]}", "new_section", 0,
			     "changed", "contradictions", "notes");
	split(&p, text, len);
	section = find_section(&p);
	if (section < p.n) {
		json_object_set_new(p.report, "section",
				    json_string(p.line[section] + 3));
		fix_section(&p, section);
	} else {
		json_object_set_new(p.report, "new_section", json_true());
		add_section(&p);
		section = find_section(&p);
	}
	fix_summary(&p, section);
	for (i = 0; i < p.n; i++) {
		strbuf_addf(out, "%s%s", p.line[i],
			    i + 1 < p.n || (len && text[len - 1] == '\n')
			    ? "\n" : "");
		free(p.line[i]);
	}
	free(p.line);
	return p.report;
}
