/*
 * tracedef.h - a Definition as FlashInfer's trace dump writes it
 * (FLASHINFER_TRACE_DUMP=1, docs/fi_trace.rst), made one of the dataset.
 *
 *  - `_x_reference` becomes `run`; where its parameters are not the inputs
 *    in their order, a `run` with the inputs calls it by name;
 *  - index tensors of dtype "unknown" (set by plan(), not by run()) are
 *    int32; optional inputs that the reference does not take are dropped;
 *  - outputs that are also inputs (in place) are dropped;
 *  - where the catalogue has a template for this API, op_type and axes, the
 *    name is the published one;
 *  - with the model's kernels at hand, a swap of page_size and num_kv_heads
 *    is repaired: the dumper reads the dimensions of an HND cache, or of a
 *    cache without a page axis (page size 1), as if they were NHD pages;
 *  - tags model:, tp: and ep: of the kernel that it is.
 *
 * What cannot be made right is refused with the reason.
 */
#ifndef ONBOARD_TRACEDEF_H
#define ONBOARD_TRACEDEF_H

#include "json.h"

struct tracedef {
	const char *kernels;	/* the catalogue */
	const json_t *needed;	/* kernels of kernels.json, or NULL */
	const char *slug;	/* for the model: tag, or NULL */
};

/*
 * d is changed in place. 0, or -1 with the reason in err. *entry is the
 * kernel of `needed` that it is (borrowed), or NULL; *repair a word about
 * what was repaired, or NULL.
 */
int tracedef_normalise(json_t *d, const struct tracedef *t,
		       const json_t **entry, const char **repair,
		       struct strbuf *err);

#endif
