/*
 * dump.h - one recorded call of FlashInfer's level-10 log.
 *
 * A call is a folder {YYYYmmdd_HHMMSS_mmm}_pid{pid}_{function}_call{seq:04d}
 * with metadata.jsonl (the last line tells all) and inputs.safetensors
 * or inputs.pt (flashinfer/api_logging.py). Of the tensors only the header is read, and
 * the values of integer ones that are asked for; float data never.
 *
 * Arguments are found by name: as kwarg_NAME, by position (arg_N, counted in
 * function_signature, where a method's arg_0 is its object), else by the
 * default that the signature states. Members of a tuple are arg_N__I.
 */
#ifndef ONBOARD_DUMP_H
#define ONBOARD_DUMP_H

#include "safetensors.h"

struct dump_name {
	char time[20];		/* YYYYmmdd_HHMMSS_mmm */
	long pid;
	long call;		/* counted by process and function */
	char function[160];	/* "Class.method" or "function" */
};

/* false: the folder's name is none of a call. */
bool dump_name_parse(struct dump_name *n, const char *folder);

struct dump_param {
	const char *name;	/* NULL: from here on by keyword only */
	const char *value;	/* its default as it stands, or NULL */
	bool is_text;		/* value was in quotes */
};

struct dump {
	const struct jval *meta;	/* the last line of metadata.jsonl */
	struct jdoc doc;
	char *text, *signature;		/* what meta and params point into */
	struct safetensors tensors;
	bool has_tensors;
	struct dump_param *params;	/* of the signature */
	size_t nparams;
	struct {		/* integer tensors read so far */
		uint64_t offset;
		int64_t *v;
		size_t n;
	} ints[8];
	size_t nints;
};

/*
 * Reads FOLDER below dirfd; -1 with the reason in err: truncated, no JSON,
 * the call did not complete, no tensors. Bytes are foreign: sizes and
 * offsets are checked, links in the folder are not followed out of it.
 */
int dump_open(struct dump *d, int dirfd, const char *folder,
	      struct strbuf *err);
void dump_close(struct dump *d);
/* Its inputs are those of a CUDA graph's replay, not of the call itself. */
bool dump_in_graph(const struct dump *d);

enum dump_kind { DUMP_ABSENT, DUMP_NONE, DUMP_BOOL, DUMP_NUMBER, DUMP_TEXT,
		 DUMP_TENSOR };

struct dump_value {
	enum dump_kind kind;
	double number;		/* also of a boolean */
	bool whole;		/* the number is an integer */
	const char *text;	/* borrowed */
	struct st_tensor t;
};

/*
 * The argument NAME; item >= 0: that member of a tuple. DUMP_ABSENT when the
 * call has no such argument. -1 with a reason when it cannot be right.
 */
int dump_arg(const struct dump *d, const char *name, int item,
	     struct dump_value *v, struct strbuf *err);
/*
 * The values of an integer tensor, as st_ints(), read once however often they
 * are asked for: every layer's run() asks for its plan's.
 */
int64_t *dump_ints(struct dump *d, const struct st_tensor *t, size_t *n,
		   struct strbuf *err);
/* Who the call was made on: self_id, else the object's repr; or "". */
const char *dump_self(const struct dump *d);

#endif
