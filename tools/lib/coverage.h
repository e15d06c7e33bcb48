/*
 * coverage.h - docs/model_coverage.mdx of flashinfer-bench for one model.
 *
 * The page has a summary table (model, architecture, coverage) and a section
 * a model: a table of definitions with a status, and a line
 * "**Coverage**: N / M definitions present." A heading may stand for several
 * models ("Llama 3.1 / 3.3 70B").
 *
 * Statuses: full (definition and workloads are there), part (the definition
 * is), none. A status is never lowered; a page that claims more than the
 * dataset has is reported. Lines that need no change stay as they are, byte
 * for byte, so that a second run changes nothing.
 */
#ifndef ONBOARD_COVERAGE_H
#define ONBOARD_COVERAGE_H

#include "json.h"

struct coverage {
	const char *slug, *display, *architecture;
	/* [{definition_name, op_type, status: full|part|none}] of the model */
	const json_t *rows;
	const json_t *possible;	/* names that the config bears out at any TP,
				   EP and page size: {NAME: op_type} */
};

/*
 * The new page into out. The report, the caller's to json_decref():
 * {section, new_section, changed: [LINE], contradictions: [{line, row,
 * reason}], notes: the same for what the dataset at hand lacks}; NULL with a sentence when the page cannot be read.
 */
json_t *coverage_update(struct strbuf *out, const char *text, size_t len,
			const struct coverage *c, struct strbuf *err);
/* Appends "GDN + GQA + MoE", as the summary names the ops of these kernels. */
void coverage_architecture(struct strbuf *sb, const json_t *kernels);

#endif
