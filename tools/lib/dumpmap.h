/*
 * dumpmap.h - from a recorded call to a workload of a definition.
 *
 * How arguments map to inputs stands in the template ("dump" in
 * kernels/OP/TEMPLATE.json), each part optional:
 *	inputs	{INPUT: WHERE}; an input that is not named is the call's
 *		argument of the same name. WHERE is an argument of the call
 *		("q", "paged_kv_cache.0" for a member of a tuple), of the plan
 *		before it ("plan.indptr"), "random" for floats that the call
 *		does not have, "last_page_len(plan.kv_len_arr)", "query[0]"
 *		where query[0] and query[1] are one tensor, joined in the last
 *		dimension, or a list of
 *		which the first that is there counts; for a scalar also
 *		"1/sqrt(AXIS)"
 *	hold	{AXIS or parameter of the name: WHERE}: the number must be equal
 *	is	{WHERE: value}: true, false, a number, null (none, or not above
 *		0), or a list of which one is enough
 *	queries	"one" or "many": whether all requests of plan.qo_indptr have
 *		one query token
 *	causal	true: no request may have keys, but fewer than queries
 *	plan	true: the call is nothing without a plan
 *	flat	[ARG...]: where such a tensor has one dimension more than the
 *		input, its first two count as one (requests and their tokens)
 *	transposed [ARG...]: the last two dimensions of such a tensor are the
 *		other way round
 *
 * Const axes are always compared, rank and dtype too; index tensors and
 * constraints are held to check.h. A KV cache may come without a page axis
 * (page size 1), head first (HND), or as one tensor of both halves.
 */
#ifndef ONBOARD_DUMPMAP_H
#define ONBOARD_DUMPMAP_H

#include "dump.h"
#include "workload.h"

struct dumpmap {
	const json_t *definition;
	const struct jval *checked;	/* the same, for check.h */
	const json_t *how;		/* "dump" of the template, or NULL */
	json_t *params;			/* numbers in the name: {top_k: 8} */
};

/* 0, or -1 with why this call is none of the definition. plan may be NULL. */
int dumpmap_try(const struct dumpmap *m, struct dump *call,
		struct dump *plan, struct workload *w,
		struct strbuf *why);

#endif
