#include "session.h"
#include "kernels.h"
#include "proc.h"

#include <glob.h>

/* Definitions that the dataset does not have cannot be collected for. */
static void leave_out_absent(json_t *session, const char *dataset,
			     json_t *absent)
{
	json_t *defs = json_object_get(session, "definitions");
	struct strbuf path = STRBUF_INIT;
	const char *name;
	size_t i;
	glob_t g;

	for (i = json_array_size(defs); i-- > 0;) {
		name = json_string_value(json_array_get(defs, i));
		strbuf_reset(&path);
		strbuf_addf(&path, "%s/definitions/*/%s.json", dataset,
			    name ? name : "");
		if (!name || !kernel_name_ok(name) ||
		    glob(path.buf, 0, NULL, &g)) {
			json_array_append(absent, json_array_get(defs, i));
			json_array_remove(defs, i);
		} else {
			globfree(&g);
		}
	}
	strbuf_release(&path);
}

json_t *session_load(const char *path, const char *name, const char *dataset,
		     json_t **plan, json_t *absent, struct strbuf *err)
{
	json_t *all, *s, *session = NULL;
	size_t i;

	*plan = json_load_path(path, JSON_MAX_CONFIG, err);
	all = *plan ? json_need_array(*plan, "sessions", path, err) : NULL;
	if (!all)
		return NULL;
	json_array_foreach(all, i, s)
		if (json_get_str(s, "name") &&
		    !strcmp(json_get_str(s, "name"), name))
			session = s;
	if (!session || json_integer_value(json_object_get(session,
							   "tp")) < 1 ||
	    !json_array_size(json_object_get(session, "definitions"))) {
		strbuf_addf(err, "%s has no session '%s'", path, name);
		return NULL;
	}
	if (dataset)
		leave_out_absent(session, dataset, absent);
	if (json_array_size(json_object_get(session, "definitions")))
		return session;
	strbuf_addf(err, "%s has none of the definitions of session %s",
		    dataset, name);
	return NULL;
}

json_t *session_dumpwl(const struct session_dumpwl *d, int *code,
		       struct strbuf *err)
{
	const char **argv = xcalloc(json_array_size(d->definitions) * 2 + 16,
				    sizeof(*argv));
	struct strbuf out = STRBUF_INIT;
	char *exe = proc_beside("dumpwl");
	struct proc p = { .argv = argv, .out = &out };
	json_t *report = NULL, *v;
	size_t n = 0, i;
	int res;

	argv[n++] = exe;
	argv[n++] = "--kernels";
	argv[n++] = d->kernels;
	argv[n++] = "--dataset";
	argv[n++] = d->dataset;
	if (d->to) {
		argv[n++] = "--to";
		argv[n++] = d->to;
	}
	argv[n++] = "--json=-";
	if (!d->write)
		argv[n++] = "--report-only";
	json_array_foreach((json_t *)d->definitions, i, v) {
		argv[n++] = "--definition";
		argv[n++] = json_string_value(v);
	}
	argv[n++] = d->dumps;
	res = proc_run(&p, err);
	*code = res == EX_AGAIN ? EX_AGAIN : EX_REFUSED;
	if (!res)
		report = json_parse(out.buf, out.len, "dumpwl", err);
	else if (!err->len)
		strbuf_addstr(err, "dumpwl failed");
	free(argv);
	free(exe);
	strbuf_release(&out);
	return report;
}
