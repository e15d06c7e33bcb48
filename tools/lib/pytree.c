#include "pytree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MAX_FILE ((size_t)16 << 20)
#define MAX_STEPS 16

struct names {
	char **v;
	size_t n;
};

static void names_add(struct names *l, char *s)
{
	if (!(l->n & (l->n - 1)) || !l->n)
		l->v = xrealloc(l->v, st_mult(l->n ? l->n * 2 : 1,
					      sizeof(*l->v)));
	l->v[l->n++] = s;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void collect(struct names *l, const char *dir, const char *rel,
		    int depth)
{
	struct strbuf full = STRBUF_INIT;
	struct dirent *e;
	DIR *d;

	strbuf_addf(&full, "%s/%s", dir, rel);
	d = depth < 64 ? opendir(full.buf) : NULL;
	while (d && (e = readdir(d))) {
		struct strbuf p = STRBUF_INIT;
		size_t n = strlen(e->d_name);
		struct stat st;
		int type = e->d_type;

		if (e->d_name[0] == '.')
			continue;
		strbuf_addf(&p, "%s%s", rel, e->d_name);
		if (type == DT_UNKNOWN && !fstatat(dirfd(d), e->d_name, &st,
						   AT_SYMLINK_NOFOLLOW))
			type = S_ISDIR(st.st_mode) ? DT_DIR :
				S_ISREG(st.st_mode) ? DT_REG : DT_LNK;
		if (type == DT_DIR) {
			strbuf_addch(&p, '/');
			collect(l, dir, p.buf, depth + 1);
		} else if (type == DT_REG && n > 3 &&
			   !strcmp(e->d_name + n - 3, ".py")) {
			names_add(l, strbuf_detach(&p));
		}
		strbuf_release(&p);
	}
	if (d)
		closedir(d);
	strbuf_release(&full);
}

static char *module_name(const char *path, size_t sub_len,
			 const char *package, bool *is_package)
{
	const char *rel = path + sub_len;
	size_t n = strlen(rel) - 3, i;
	struct strbuf sb = STRBUF_INIT;

	*is_package = n >= 8 && !strncmp(rel + n - 8, "__init__", 8) &&
		(n == 8 || rel[n - 9] == '/');
	if (*is_package)
		n -= n == 8 ? 8 : 9;
	strbuf_addstr(&sb, package);
	if (n && sb.len)
		strbuf_addch(&sb, '.');
	for (i = 0; i < n; i++)
		strbuf_addch(&sb, rel[i] == '/' ? '.' : rel[i]);
	return strbuf_detach(&sb);
}

int pytree_add(struct pytree *t, const char *dir, const char *sub,
	       const char *package, struct strbuf *err)
{
	struct names l = { NULL, 0 };
	size_t i;
	int ret = 0;

	collect(&l, dir, sub, 0);
	qsort(l.v, l.n, sizeof(*l.v), by_name);
	t->files = xrealloc(t->files, st_mult(t->nfiles + l.n,
					      sizeof(*t->files)));
	for (i = 0; i < l.n; i++) {
		struct py_file *f = &t->files[t->nfiles];
		struct strbuf full = STRBUF_INIT, why = STRBUF_INIT;

		*f = (struct py_file){ .path = l.v[i],
			.src = STRBUF_INIT_MAX(MAX_FILE) };
		strbuf_addf(&full, "%s/%s", dir, f->path);
		if (strbuf_read_file(&f->src, full.buf, &why) &&
		    !f->src.overflow) {
			strbuf_addstr(err, why.buf);
			ret = -1;
		}
		if (f->src.overflow)
			strbuf_release(&f->src);
		f->module = module_name(f->path, strlen(sub), package,
					&f->package);
		pyscan_init(&f->scan, f->src.buf, f->src.len);
		t->nfiles++;
		strbuf_release(&full);
		strbuf_release(&why);
		if (ret)
			break;
	}
	while (ret && ++i < l.n)
		free(l.v[i]);
	if (!ret && !l.n) {
		strbuf_addf(err, "%s/%s holds no Python files; is the clone"
			    " whole?", dir, sub);
		ret = -1;
	}
	free(l.v);
	return ret;
}

/* The absolute path that an import statement names. */
static void import_target(const struct py_file *f, const struct py_import *im,
			  struct strbuf *out)
{
	uint32_t up = im->level;

	if (up) {
		strbuf_addstr(out, f->module);
		if (f->package)
			up--;
		while (up-- && out->len) {
			char *dot = strrchr(out->buf, '.');

			out->len = dot ? (size_t)(dot - out->buf) : 0;
			out->buf[out->len] = '\0';
		}
		if (im->module.len && out->len)
			strbuf_addch(out, '.');
	}
	pyscan_dotted(out, im->module);
}

static bool has_prefix(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return !strncmp(s, prefix, n) && (!s[n] || s[n] == '.');
}

static void bind(const struct pytree *t, struct py_file *f, const char *name,
		 const char *target)
{
	const char *old = json_get_str(f->names, name);

	if (old && (!t->prefer || has_prefix(old, t->prefer) ||
		    !has_prefix(target, t->prefer)))
		return;
	json_object_set_new(f->names, name, json_string(target));
}

static void link_imports(const struct pytree *t, struct py_file *f)
{
	struct strbuf target = STRBUF_INIT, name = STRBUF_INIT;
	size_t i;

	for (i = 0; i < f->scan.nimports; i++) {
		const struct py_import *im = &f->scan.imports[i];

		strbuf_reset(&target);
		strbuf_reset(&name);
		import_target(f, im, &target);
		if (!im->name.len && !im->as.len) {
			/* `import a.b.c` binds a, and a is a */
			strbuf_add(&name, target.buf,
				   strcspn(target.buf, "."));
			bind(t, f, name.buf, name.buf);
			continue;
		}
		if (im->name.len == 1 && im->name.s[0] == '*') {
			strbuf_addf(&name, "*%s", target.buf);
			json_object_set_new(f->names, name.buf,
					    json_string(target.buf));
			continue;
		}
		if (im->name.len) {
			strbuf_addch(&target, '.');
			strbuf_add(&target, im->name.s, im->name.len);
		}
		strbuf_add(&name, im->as.s, im->as.len);
		bind(t, f, name.buf, target.buf);
	}
	strbuf_release(&target);
	strbuf_release(&name);
}

void pytree_link(struct pytree *t)
{
	struct strbuf path = STRBUF_INIT;
	size_t i, k;

	t->modules = json_object();
	t->defs = json_object();
	for (i = 0; i < t->nfiles; i++) {
		struct py_file *f = &t->files[i];

		json_object_set_new(t->modules, f->module,
				    json_integer((json_int_t)i));
		f->names = json_object();
		link_imports(t, f);
		for (k = 0; k < f->scan.ndefs; k++) {
			if (f->scan.defs[k].depth)
				continue;
			strbuf_reset(&path);
			strbuf_addf(&path, "%s.%s", f->module,
				    f->scan.defs[k].qualname);
			json_object_set_new(t->defs, path.buf, json_true());
		}
	}
	strbuf_release(&path);
}

void pytree_release(struct pytree *t)
{
	size_t i;

	for (i = 0; i < t->nfiles; i++) {
		free(t->files[i].path);
		free(t->files[i].module);
		strbuf_release(&t->files[i].src);
		pyscan_release(&t->files[i].scan);
		json_decref(t->files[i].names);
	}
	free(t->files);
	json_decref(t->modules);
	json_decref(t->defs);
	*t = (struct pytree){ 0 };
}

static bool imports(const struct pytree *t, const char *module,
		    const char *name)
{
	const json_t *i = json_object_get(t->modules, module);

	return i && json_object_get(t->files[json_integer_value(i)].names,
				    name);
}

/* One step from "module.name.rest"; false if no import leads on. */
static bool step(const struct pytree *t, struct strbuf *path)
{
	struct strbuf mod = STRBUF_INIT, next = STRBUF_INIT;
	const json_t *idx = NULL;
	const struct py_file *f;
	const char *name, *key, *to = NULL;
	size_t n = path->len;
	json_t *v;

	/* the longest prefix that is a module */
	while (n && !idx) {
		while (n && path->buf[n - 1] != '.')
			n--;
		if (!n)
			break;
		strbuf_reset(&mod);
		strbuf_add(&mod, path->buf, --n);
		idx = json_object_get(t->modules, mod.buf);
	}
	if (!idx)
		goto out;
	f = &t->files[json_integer_value(idx)];
	name = path->buf + n + 1;
	strbuf_reset(&mod);
	strbuf_add(&mod, name, strcspn(name, "."));
	to = json_get_str(f->names, mod.buf);
	if (to) {
		strbuf_addf(&next, "%s%s", to, name + mod.len);
	} else {
		json_object_foreach(f->names, key, v) {
			if (key[0] != '*')
				continue;
			strbuf_reset(&next);
			strbuf_addf(&next, "%s.%s", json_string_value(v),
				    name);
			if (json_object_get(t->defs, next.buf) ||
			    imports(t, json_string_value(v), mod.buf)) {
				to = key;
				break;
			}
		}
	}
	if (to && !strcmp(next.buf, path->buf))
		to = NULL;
	if (to) {
		strbuf_reset(path);
		strbuf_add(path, next.buf, next.len);
	}
out:
	strbuf_release(&mod);
	strbuf_release(&next);
	return to != NULL;
}

bool pytree_resolve(const struct pytree *t, const char *path,
		    struct strbuf *out)
{
	struct strbuf p = STRBUF_INIT;
	bool found = false;
	int i;

	strbuf_addstr(&p, path);
	for (i = 0; i < MAX_STEPS; i++) {
		found = json_object_get(t->defs, p.buf) != NULL;
		if (found || !step(t, &p))
			break;
	}
	strbuf_add(out, p.buf, p.len);
	strbuf_release(&p);
	return found;
}

bool pytree_meaning(const struct py_file *f,
		    struct py_slice chain, struct strbuf *out)
{
	struct strbuf text = STRBUF_INIT, root = STRBUF_INIT;
	const char *to;

	pyscan_dotted(&text, chain);
	strbuf_add(&root, text.buf, strcspn(text.buf, "."));
	to = root.len ? json_get_str(f->names, root.buf) : NULL;
	if (to)
		strbuf_addf(out, "%s%s", to, text.buf + root.len);
	strbuf_release(&text);
	strbuf_release(&root);
	return to != NULL;
}
