/*
 * flavours.h - the fewest server starts that serve a set of definitions.
 *
 * One SGLang process has one TP, EP, page size and way of prefilling. A
 * definition is served by any flavour that agrees with what it asks for:
 * heads split by TP, experts by EP, a page size, paged or ragged prefill.
 */
#ifndef ONBOARD_FLAVOURS_H
#define ONBOARD_FLAVOURS_H

#include "json.h"

/*
 * kernels: [{definition_name, tp: [..], ep: [..], page_size?, prefill?,
 * calls: [..]}]; an empty list means any. The result, the caller's to
 * json_decref(): [{name, tp, ep, page_size, prefill, definitions, include,
 * args, env}], as few as can be, each definition in one of them. With many
 * flavours the search gives up proving and keeps the best it has.
 */
json_t *flavours_plan(const json_t *kernels);

#endif
