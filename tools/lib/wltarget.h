/*
 * wltarget.h - a definition that workloads are looked for, and how FlashInfer
 * is called for it.
 */
#ifndef ONBOARD_WLTARGET_H
#define ONBOARD_WLTARGET_H

#include "kernels.h"
#include "wlselect.h"

struct wl_target {
	const char *op, *name;
	json_t *def;
	struct kernel_template t;
	struct dumpmap map;
	struct jdoc checked;		/* map.checked stands in it */
	json_t *calls;			/* functions that it is called by */
	size_t seen, accepted;
	json_t *refused;		/* reason -> count */
	struct wl_candidates found;
};

/*
 * With op, name and def set: finds the template whose name and inputs are the
 * definition's, and from it and the fi_api: tags the calls ("Class.run",
 * "function"). Without a template, arguments and inputs have the same names.
 */
void wl_target_fill(struct wl_target *t, const char *kernels);

#endif
