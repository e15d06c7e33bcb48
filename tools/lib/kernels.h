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
 *	prefill		"paged" or "ragged": how the engine has to prefill for it
 *	dump		how recorded calls map to inputs (dumpmap.h)
 *	call, sim	how an engine calls it, and when (sim_op.h)
 *	extends		another template of the folder: its JSON under this
 *			one (null removes a key), its .py where this one has
 *			none
 *	parts		{part: another part to take in its place}
 *	definition	the Definition without name, op_type and reference;
 *			const axes have no value; strings may hold @{...}
 * OP/TEMPLATE.py is its reference, run() in PyTorch, also with @{...}; a line
 * "# part: NAME" stands for parts/NAME.py, what several references share.
 *
 * Placeholders: every const axis, the params of the rule (eps), model, the
 * display name of the model, definition_name and op_type. In "tags" an entry "@models" becomes one
 * model: tag a model, "@tp" and "@ep" one tag a size.
 */
#ifndef ONBOARD_KERNELS_H
#define ONBOARD_KERNELS_H

#include "json.h"

struct kernel_template {
	json_t *json;
	char *file;		/* path of the JSON, for messages */
	char *dir;		/* of the catalogue */
	char *bases[4];		/* DIR/OP/NAME: its own, then what it extends */
	size_t nbases;
};

/* Names of the folders with a shapes.jq, sorted; NULL with a sentence. */
json_t *kernels_op_types(const char *dir, struct strbuf *err);
int kernel_template_load(struct kernel_template *t, const char *dir,
			 const char *op, const char *name, struct strbuf *err);
void kernel_template_release(struct kernel_template *t);
/* Letters, digits, '_', '-' and '.', not first: safe as a file's name. */
bool kernel_name_ok(const char *name);
/*
 * Whether the pattern gives this name; the numbers (and the variant, a text
 * at the end) go to params.
 */
bool kernel_name_fits(const char *pattern, const char *name, json_t *params);
/* The definition's name for these constants; the caller's to free. */
char *kernel_name(const struct kernel_template *t, const json_t *axes,
		  const json_t *params, struct strbuf *err);

/*
 * The text of TEMPLATE<suffix> (".py"), its own or that of what it extends,
 * with parts and values in place; the caller's to free, NULL with a sentence.
 */
char *kernel_text(const struct kernel_template *t, const char *suffix,
		  const json_t *values, struct strbuf *err);

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
 * Beside it: the text of its reference test (TEMPLATE_test.py), and the
 * Solution that wraps FlashInfer (TEMPLATE_baseline.py), author "baseline".
 */
char *kernel_test(const struct kernel_template *t, const char *op,
		  const char *name, const struct kernel_use *use,
		  struct strbuf *err);
json_t *kernel_solution(const struct kernel_template *t, const char *op,
			const char *name, const struct kernel_use *use,
			struct strbuf *err);
/* A Solution of one Python text with run(); needs: the package that it imports, or NULL. */
json_t *kernel_wrapper(const char *name, const char *definition, const char *author,
		       const char *description, const char *language,
		       const char *needs, const char *text);
/*
 * The same for an entry of kernels.json and one model: a pure function of
 * that model's files, whoever else needs the kernel.
 */
json_t *kernel_definition_for(const char *dir, const json_t *entry,
			      const char *slug, const char *display,
			      struct strbuf *err);
/*
 * Its reference test, the caller's to free, and the solution that wraps
 * FlashInfer, NULL where it has no kernel.
 */
char *kernel_companions_for(const char *dir, const json_t *entry,
			    const char *slug, const char *display,
			    json_t **solution, struct strbuf *err);

#endif
