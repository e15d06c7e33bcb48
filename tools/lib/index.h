/*
 * index.h - what onboard knows of each upstream tree, as one JSON file each.
 *
 * flashinfer	{"apis": {PATH: {"kind": "function"|"class", "file", "line",
 *		  "decorated", "trace": NAME or null, "paths": [...],
 *		  "methods": {NAME: {"line", "decorated", "trace"}},
 *		  "tests": [...]}}}
 *		PATH is the module path that users import; paths are all
 *		public ones. `trace` is the value of @flashinfer_api(trace=).
 * sglang	{"calls": {PATH: [{"file", "line", "call"}]},
 *		  "models": {CLASS: {"file", "line"}}}
 *		PATH is what the import names; call is false for a mere use.
 * sgl_cookbook	{"models": {HUB_ID: {"tp": [...], "ep": [...],
 *		  "page_sizes": [...], "file", "line"}}, "left_out": [WHY...]}
 * flashinfer_trace {"definitions": {NAME: {"op_type", "file"}},
 *		  "workloads": {NAME: {"file", "entries"}}}
 *		as committed (git ls-tree), never as in the work tree.
 * flashinfer_bench {"coverage": [MODEL...], "file"}
 *
 * Each function returns the body, the caller's to json_decref(), or NULL
 * with a sentence in err. `dir` is the clone. Keys are sorted.
 */
#ifndef ONBOARD_INDEX_H
#define ONBOARD_INDEX_H

#include "json.h"

json_t *index_flashinfer(const char *dir, struct strbuf *err);
json_t *index_sglang(const char *dir, struct strbuf *err);
json_t *index_cookbook(const char *dir, struct strbuf *err);
json_t *index_dataset(const char *dir, struct strbuf *err);
json_t *index_coverage(const char *dir, struct strbuf *err);
/* The models that a coverage page's summary lists: an array of names. */
json_t *index_coverage_text(const char *text, size_t len, const char *name,
			    struct strbuf *err);

#endif
