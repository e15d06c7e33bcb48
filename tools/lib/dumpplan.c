#include "dumpplan.h"
#include "outfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static bool same_wrapper(const struct dump_call *plan, const char *plan_self,
			 const struct dump_call *c, const char *self)
{
	return plan->n.pid == c->n.pid && !strcmp(plan_self, self);
}

static void drop(struct dump_plans *ps, size_t i)
{
	dump_ahead_drop(ps->ahead, &ps->v[i].d);
	free(ps->v[i].self);
	memmove(ps->v + i, ps->v + i + 1, (ps->n - i - 1) * sizeof(*ps->v));
	ps->n--;
}

void dump_plans_add(struct dump_plans *ps, const struct dump_call *call,
		    const struct dump *d)
{
	struct dump_plan p = { call, xstrdup(dump_self(d)), *d };
	size_t i, older = 0;

	/* of those before this millisecond only the last is still in force */
	for (i = ps->n; i-- > 0;)
		if (same_wrapper(ps->v[i].call, ps->v[i].self, call, p.self) &&
		    strcmp(ps->v[i].call->n.time, call->n.time) < 0 &&
		    older++)
			drop(ps, i);
	ps->v = xrealloc(ps->v, (ps->n + 1) * sizeof(*ps->v));
	ps->v[ps->n++] = p;
	ps->all = xroom(ps->all, ps->nall, sizeof(*ps->all));
	ps->all[ps->nall].call = call;
	ps->all[ps->nall].self = xstrdup(p.self);
	ps->all[ps->nall++].at = -1;
}

/* When the folder's inputs were written, where the file tells; else 0. */
static int64_t written(int dirfd, const char *folder)
{
	static const char *const files[] = { "inputs.safetensors",
		"inputs.pt" };
	struct stat st;
	int64_t t = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files) && !t; i++) {
		char *path = strbuf_text("%s/%s", folder, files[i]);

		if (!fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW))
			t = (int64_t)st.st_mtim.tv_sec * 1000000000 +
				st.st_mtim.tv_nsec;
		free(path);
	}
	return t;
}

/*
 * The plans that a run may belong to: the last before its millisecond, and
 * those within it. The times at which the files were written tell which of
 * them came first, if they differ; then there is one.
 */
void dump_plans_of(const struct dump_plans *ps, const struct dump_call *c,
		   const char *self, struct dump_choice *ch)
{
	int64_t t, when;
	bool told = true;
	size_t i, k, first;

	ch->n = 0;
	for (i = 0; i < ps->n; i++) {
		struct dump_plan *p = &ps->v[i];

		if (!same_wrapper(p->call, p->self, c, self) ||
		    strcmp(p->call->n.time, c->n.time) > 0)
			continue;
		if (strcmp(p->call->n.time, c->n.time) < 0)
			ch->n = 0;	/* only the last of those counts */
		if (ch->n < ARRAY_SIZE(ch->v))
			ch->v[ch->n++] = p;
	}
	/* ch->v[0] may be of an earlier millisecond: it came before, anyway */
	first = ch->n && strcmp(ch->v[0]->call->n.time, c->n.time) < 0;
	if (ch->n == first)
		return;
	t = written(ps->dirfd, c->folder);
	for (i = first; i < ch->n; i++) {
		when = written(ps->dirfd, ch->v[i]->call->folder);
		told &= when != t && t % 1000000000;
		for (k = first; k < i; k++)
			told &= when != written(ps->dirfd,
						ch->v[k]->call->folder);
	}
	if (!told || ch->n == first)
		return;
	for (i = k = first; i < ch->n; i++)
		if (written(ps->dirfd, ch->v[i]->call->folder) < t)
			ch->v[k++] = ch->v[i];
	if (k > 1)
		ch->v[0] = ch->v[k - 1];
	ch->n = k ? 1 : 0;
}

/* ---- replays of a CUDA graph ---- */

/* "/x/y/CALL" -> "CALL"; "/x/CALL/graph_flushes/flush_0001": from CALL on. */
static const char *below_dumps(const char *dump_dir)
{
	const char *flush = strstr(dump_dir, "/graph_flushes/");
	const char *p = flush ? flush : dump_dir + strlen(dump_dir);

	while (p > dump_dir && p[-1] != '/')
		p--;
	return p;
}

/* The place of every folder's first record. */
static void read_session(struct dump_plans *ps)
{
	int fd = openat(ps->dirfd, "session.jsonl", O_RDONLY | O_CLOEXEC |
			O_NOFOLLOW | O_NONBLOCK);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	struct jdoc doc = JDOC_INIT;
	struct strbuf no = STRBUF_INIT;
	char *line = NULL;
	const char *dir;
	uintptr_t place = 0;
	size_t room = 0;
	ssize_t n;

	ps->asked_order = true;
	while (f && (n = getline(&line, &room, f)) > 0) {
		strbuf_reset(&no);
		dir = jv_get_str(jdoc_parse(&doc, line, (size_t)n, "line",
					    &no), "dump_dir");
		place++;
		dir = dir ? below_dumps(dir) : NULL;
		if (dir && !strmap_get(&ps->order, dir))
			strmap_set(&ps->order, xstrdup(dir), (void *)place);
	}
	free(line);
	jdoc_release(&doc);
	strbuf_release(&no);
	if (f)
		fclose(f);
	else if (fd >= 0)
		close(fd);
}

/* When FOLDER was recorded, among others; 0 if nothing tells. */
static int64_t recorded(struct dump_plans *ps, const char *folder)
{
	int64_t t;

	if (ps->order.n)
		return (int64_t)(uintptr_t)strmap_get(&ps->order, folder);
	t = written(ps->dirfd, folder);
	return t % 1000000000 ? t : 0;	/* whole seconds: of a copy */
}

int dump_plans_replayed(struct dump_plans *ps, const struct dump_call *c,
			const char *self, const char *folder,
			struct dump_choice *ch, struct strbuf *why)
{
	const struct dump_call *best = NULL;
	int64_t at, latest = 0;
	size_t i;

	ch->n = 0;
	if (!ps->asked_order)
		read_session(ps);
	at = recorded(ps, folder);
	for (i = 0; i < ps->nall; i++) {
		if (!same_wrapper(ps->all[i].call, ps->all[i].self, c, self))
			continue;
		if (ps->all[i].at < 0)
			ps->all[i].at = recorded(ps, ps->all[i].call->folder);
		if (!at || !ps->all[i].at || ps->all[i].at == at) {
			strbuf_addstr(why, "a replay of a CUDA graph, and"
				      " neither session.jsonl nor the times"
				      " of the files tell which plan it had");
			return -1;
		}
		if (ps->all[i].at < at && ps->all[i].at > latest) {
			latest = ps->all[i].at;
			best = ps->all[i].call;
		}
	}
	if (!best)
		return 0;
	if (ps->replayed.call != best) {
		if (ps->replayed.call)
			dump_close(&ps->replayed.d);
		ps->replayed.call = NULL;
		if (dump_open(&ps->replayed.d, ps->dirfd, best->folder, why))
			return -1;
		ps->replayed.call = best;
	}
	ch->v[ch->n++] = &ps->replayed;
	return 0;
}

char **dump_replays(int dirfd, const char *folder, size_t *n)
{
	char *path = strbuf_text("%s/graph_flushes", folder), **v = NULL;
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
			O_NOFOLLOW);
	struct dirent **e = NULL;
	int count, i;

	*n = 0;
	count = fd < 0 ? 0 : scandirat(fd, ".", &e, dir_visible, dir_by_name);
	if (count > 0)
		v = xcalloc((size_t)count, sizeof(*v));
	for (i = 0; i < count; i++) {
		if (!strncmp(e[i]->d_name, "flush_", 6))
			v[(*n)++] = strbuf_text("%s/%s", path, e[i]->d_name);
		free(e[i]);
	}
	free(e);
	if (fd >= 0)
		close(fd);
	free(path);
	return v;
}

void dump_plans_release(struct dump_plans *ps)
{
	size_t i;

	while (ps->n)
		drop(ps, ps->n - 1);
	for (i = 0; i < ps->nall; i++)
		free(ps->all[i].self);
	for (i = 0; i < ps->order.alloc; i++)
		free((char *)(uintptr_t)ps->order.v[i].key);
	if (ps->replayed.call)
		dump_close(&ps->replayed.d);
	strmap_release(&ps->order);
	free(ps->v);
	free(ps->all);
}
