/*
 * pytree.h - all Python files of a source tree, scanned (pyscan.h), and the
 * names that their imports lead to.
 *
 * pytree_resolve() follows a dotted path through re-exports, `as` names,
 * `import *` and relative imports to where the name is defined or leaves the
 * tree: "flashinfer.rmsnorm" -> "flashinfer.norm.rmsnorm". At most 16 steps:
 * import cycles end. Imports count wherever they stand in a file, so lazy and
 * try/except imports are followed too; of two imports of one name the one
 * that leads to `prefer` (a path prefix, may be NULL) wins.
 *
 * Files are read once and kept until pytree_release(); symbolic links and
 * files over 16 MiB are left out. Order is by path, whatever the disk says.
 */
#ifndef ONBOARD_PYTREE_H
#define ONBOARD_PYTREE_H

#include "json.h"
#include "pyscan.h"

struct py_file {
	char *path;		/* relative to the root that was given */
	char *module;		/* "flashinfer.norm" for norm/__init__.py */
	bool package;		/* an __init__.py */
	struct strbuf src;
	struct pyscan scan;
	json_t *names;		/* name -> path it was imported from */
};

struct pytree {
	struct py_file *files;
	size_t nfiles;
	json_t *modules;	/* module -> index in files */
	json_t *defs;		/* path of a top-level def or class -> true */
	const char *prefer;
};

/*
 * Adds dir/sub/ (sub ends in '/', may be ""), whose modules are named from
 * `package` on ("flashinfer", "sglang.srt"; "" for none).
 */
int pytree_add(struct pytree *t, const char *dir, const char *sub,
	       const char *package, struct strbuf *err);
/* After the last pytree_add(): makes the name tables. */
void pytree_link(struct pytree *t);
void pytree_release(struct pytree *t);

/* Appends the resolved path; true if it is defined in the tree. */
bool pytree_resolve(const struct pytree *t, const char *path,
		    struct strbuf *out);
/*
 * What the dotted text of a chain means in this file: appends
 * "flashinfer.norm.rmsnorm" for "fn.rmsnorm" after `import flashinfer.norm
 * as fn`. False if the root was not imported there.
 */
bool pytree_meaning(const struct py_file *f,
		    struct py_slice chain, struct strbuf *out);

#endif
