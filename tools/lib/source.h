/*
 * source.h - bring one upstream repository to its wished state.
 *
 * A wish is an entry of manifests/repos.json: dir, url, ref, paths (sparse
 * patterns, only what is read), history (true: discovery reads its log),
 * pypi (package of the same source tree), pypi_keep (archive folder -> folder
 * in our tree) and pypi_leave (a pattern: other projects' sources that the
 * package brings along).
 *
 * The git source is a shallow, partial (blob:none), sparse clone whose HEAD
 * is detached at the fetched commit; submodules are never fetched. A fresh
 * clone is made under ".DIR.part" and renamed; a failed update leaves the old
 * clone as it was. Edited tracked files are refused by name. Files of ours
 * (listed by the caller's provenance folder) that upstream has published in
 * the meantime give way to upstream's.
 *
 * Each function returns the repository's entry for repos.json, the caller's
 * to json_decref(), or NULL with a sentence in err. *code is then the exit
 * code that fits (EX_REFUSED or EX_AGAIN).
 */
#ifndef ONBOARD_SOURCE_H
#define ONBOARD_SOURCE_H

#include "json.h"

struct source {
	const char *name;	/* "sgl_cookbook" */
	const json_t *wish;
	const char *root;	/* folder that holds the clones, "tmp" */
	const char *url, *ref;	/* overrides, or NULL */
	const char *since;	/* history wanted since then, or NULL */
	const char *ours;	/* provenance folder, or NULL */
	void (*progress)(void *data, const char *text);
	void *data;
};

json_t *source_git(const struct source *s, int *code, struct strbuf *err);
json_t *source_pypi(const struct source *s, int *code, struct strbuf *err);
json_t *source_snapshot(const struct source *s, const char *snapshot_dir,
			int *code, struct strbuf *err);

#endif
