/*
 * kernels.h - the catalogue: one folder per op_type under kernels/.
 *
 * OP/TEMPLATE.json is an object:
 *	name		pattern of the definition's name, with @{axis} or @{param}
 *	fi_api		FlashInfer's Python paths that implement it, the one
 *			to name first; [] when none is needed (gemm) 
 *	fi_method	of a class: the method that runs (default "run")
 *	fi_needed	false: plain PyTorch serves it, no FlashInfer kernel
 *	layer		SGLang file that runs it, under python/sglang/srt/
 *	definition	the Definition without name, op_type and reference;
 *			const axes have no value; strings may hold @{...}
 * OP/TEMPLATE.py is its reference, run() in PyTorch, also with @{...}; a line
 * "# part: NAME" stands for parts/NAME.py, what several references share.
 *
 * Placeholders: every const axis, the params of the rule (eps), and model,
 * the display name of the model. In "tags" an entry "@models" becomes one
 * model: tag a model, "@tp" and "@ep" one tag a size.
 */
#ifndef ONBOARD_KERNELS_H
#define ONBOARD_KERNELS_H

#include "json.h"

struct kernel_template {
	json_t *json;
	char *file;		/* path of the JSON, for messages */
	char *base;		/* the same without ".json" */
	char *dir;		/* of the catalogue */
};

/* Names of the folders with a shapes.jq, sorted; NULL with a sentence. */
json_t *kernels_op_types(const char *dir, struct strbuf *err);
int kernel_template_load(struct kernel_template *t, const char *dir,
			 const char *op, const char *name, struct strbuf *err);
void kernel_template_release(struct kernel_template *t);
/* Letters, digits, '_', '-' and '.', not first: safe as a file's name. */
bool kernel_name_ok(const char *name);
/* The definition's name for these constants; the caller's to free. */
char *kernel_name(const struct kernel_template *t, const json_t *axes,
		  const json_t *params, struct strbuf *err);

/* What a definition is made for. */
struct kernel_use {
	const json_t *axes, *params;
	const char *display;	/* of the model it is described with */
	const json_t *models;	/* slugs, sorted */
	const json_t *tp, *ep;	/* sizes, sorted */
	const char *note;	/* appended to the description, or NULL */
	bool unverified;	/* status:unverified whatever the template says */
};

/* The whole Definition, the caller's to json_decref(). */
json_t *kernel_definition(const struct kernel_template *t, const char *op,
			  const char *name, const struct kernel_use *use,
			  struct strbuf *err);
/*
 * The same for an entry of kernels.json and one model: a pure function of
 * that model's files, whoever else needs the kernel.
 */
json_t *kernel_definition_for(const char *dir, const json_t *entry,
			      const char *slug, const char *display,
			      struct strbuf *err);

#endif
