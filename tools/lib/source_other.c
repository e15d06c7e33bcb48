/* The sources that are no git repository: a PyPI release, the snapshot. */
#include "outfile.h"
#include "proc.h"
#include "sha256.h"
#include "source.h"

#include <dirent.h>

/* The one archive that pip left in dir, or NULL. */
static char *find_archive(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char *found = NULL;

	while (d && (e = readdir(d))) {
		struct strbuf sb = STRBUF_INIT;

		if (e->d_name[0] == '.')
			continue;
		strbuf_addf(&sb, "%s/%s", dir, e->d_name);
		free(found);
		found = strbuf_detach(&sb);
	}
	if (d)
		closedir(d);
	return found;
}

static int run(const char *const *argv, struct strbuf *err)
{
	struct strbuf errs = STRBUF_INIT_MAX(1 << 20);
	struct proc p = { .argv = argv, .errs = &errs };
	int ret = proc_run(&p, err);

	strbuf_rtrim(&errs);
	if (ret > 0) {
		const char *nl = strrchr(errs.buf, '\n');

		strbuf_addf(err, "%s failed: %s", argv[0],
			    nl ? nl + 1 : errs.buf);
	}
	strbuf_release(&errs);
	return ret ? -1 : 0;
}

/* "flashinfer_python-0.6.1-py3-none-any.whl" -> "0.6.1" */
static char *version_of(const char *archive)
{
	const char *base = strrchr(archive, '/') + 1;
	const char *dash = strchr(base, '-');
	size_t n;

	if (!dash)
		return xstrdup("0");
	n = strcspn(dash + 1, "-");
	if (n > 7 && !strncmp(dash + 1 + n - 7, ".tar.gz", 7))
		n -= 7;
	return xstrndup(dash + 1, n);
}

static int unpack(const struct source *s, const char *archive,
		  const char *to, const char *part, struct strbuf *err)
{
	json_t *keep = json_object_get(s->wish, "pypi_keep"), *v;
	const char *leave = json_get_str(s->wish, "pypi_leave"), *key;
	bool sdist = strstr(archive, ".tar.gz") != NULL;
	int ret = 0;

	json_object_foreach(keep, key, v) {
		struct strbuf want = STRBUF_INIT, from = STRBUF_INIT;
		struct strbuf dest = STRBUF_INIT;

		strbuf_addf(&want, "%s%s*.py", sdist ? "*/" : "", key);
		strbuf_addf(&from, "%s/%.*s", to, (int)strlen(key) - 1, key);
		strbuf_addf(&dest, "%s/%.*s", part,
			    (int)strlen(json_string_value(v)) - 1,
			    json_string_value(v));
		ret = ret ? ret : run((const char *const[]){ "bsdtar", "-xf",
			archive, "-C", to, "--no-same-owner", "--exclude",
			leave ? leave : "*.pyc",
			sdist ? "--strip-components=1"
			      : "--strip-components=0", want.buf, NULL }, err);
		if (!ret && (outfile_mkdirs(dest.buf, err) ||
			     rename(from.buf, dest.buf))) {
			if (!err->len)
				strbuf_addf(err, "%s holds no %s", archive,
					    key);
			ret = -1;
		}
		strbuf_release(&want);
		strbuf_release(&from);
		strbuf_release(&dest);
	}
	return ret;
}

static json_t *entry(const struct source *s, const char *package,
		     const char *archive, struct strbuf *err)
{
	char hex[SHA256_HEX], *version = version_of(archive);
	struct strbuf id = STRBUF_INIT, origin = STRBUF_INIT;
	json_t *j = NULL;

	if (!sha256_file(hex, archive, err)) {
		strbuf_addf(&id, "%s+sha256:%s", version, hex);
		strbuf_addf(&origin, "pypi:%s", package);
		j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:n}",
			      "kind", "pypi", "id", id.buf, "short", version,
			      "ref", s->ref ? s->ref : "latest",
			      "origin", origin.buf, "date");
	}
	strbuf_release(&id);
	strbuf_release(&origin);
	free(version);
	return j;
}

json_t *source_pypi(const struct source *s, int *code, struct strbuf *err)
{
	const char *package = json_get_str(s->wish, "pypi");
	struct strbuf dir = STRBUF_INIT, part = STRBUF_INIT;
	struct strbuf down = STRBUF_INIT, tmp = STRBUF_INIT;
	struct strbuf spec = STRBUF_INIT, mark = STRBUF_INIT;
	char *archive = NULL;
	json_t *j = NULL;

	*code = EX_REFUSED;
	if (!package) {
		strbuf_addf(err, "%s is not on PyPI", s->name);
		return NULL;
	}
	*code = EX_AGAIN;
	strbuf_addf(&dir, "%s/%s", s->root, json_get_str(s->wish, "dir"));
	strbuf_addf(&part, "%s/.%s.part", s->root,
		    json_get_str(s->wish, "dir"));
	strbuf_addf(&down, "%s/.down", part.buf);
	strbuf_addf(&tmp, "%s/.unpack/", part.buf);
	strbuf_addf(&mark, "%s/.git", dir.buf);
	strbuf_addf(&spec, "%s%s%s", package, s->ref ? "==" : "",
		    s->ref ? s->ref : "");
	if (!access(mark.buf, F_OK)) {
		strbuf_addf(err, "%s is a git clone; move it away to take %s"
			    " from PyPI", dir.buf, s->name);
		*code = EX_REFUSED;
		goto out;
	}
	if (s->progress)
		s->progress(s->data, "downloading from PyPI");
	if (outfile_remove_tree(part.buf, err) ||
	    outfile_mkdirs(tmp.buf, err) ||
	    run((const char *const[]){ "python3", "-m", "pip", "download",
		"--quiet", "--no-deps", "--disable-pip-version-check",
		"-d", down.buf, spec.buf, NULL }, err))
		goto out;
	archive = find_archive(down.buf);
	if (!archive) {
		strbuf_addf(err, "pip brought no archive of %s", spec.buf);
		goto out;
	}
	if (s->progress)
		s->progress(s->data, "unpacking");
	j = entry(s, package, archive, err);
	strbuf_reset(&mark);
	strbuf_addf(&mark, "%s/.onboard-pypi.json", part.buf);
	if (j && (unpack(s, archive, tmp.buf, part.buf, err) ||
		  json_save(j, mark.buf, err) ||
		  outfile_remove_tree(down.buf, err) ||
		  outfile_remove_tree(tmp.buf, err) ||
		  outfile_remove_tree(dir.buf, err) ||
		  rename(part.buf, dir.buf))) {
		if (!err->len)
			strbuf_addf(err, "unable to make %s: %s", dir.buf,
				    strerror(errno));
		json_decref(j);
		j = NULL;
	}
out:
	free(archive);
	strbuf_release(&dir);
	strbuf_release(&part);
	strbuf_release(&down);
	strbuf_release(&tmp);
	strbuf_release(&spec);
	strbuf_release(&mark);
	return j;
}

json_t *source_snapshot(const struct source *s, const char *snapshot_dir,
			int *code, struct strbuf *err)
{
	struct strbuf path = STRBUF_INIT;
	json_t *all, *j = NULL;

	*code = EX_REFUSED;
	strbuf_addf(&path, "%s/repos.json", snapshot_dir);
	all = json_load_path(path.buf, JSON_MAX_CONFIG, err);
	if (all) {
		j = json_deep_copy(json_object_get(all, s->name));
		if (!j)
			strbuf_addf(err, "%s: key '%s' is missing; make it"
				    " with `make snapshot`", path.buf,
				    s->name);
		else
			json_object_set_new(j, "kind",
					    json_string("snapshot"));
	}
	json_decref(all);
	strbuf_release(&path);
	return j;
}
