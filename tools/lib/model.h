/*
 * model.h - names of models, and where the Hub's token is kept.
 *
 * A slug is the folder name of a run: lower case letters, digits, '.', '-',
 * beginning with a letter or digit, at most 96 bytes. Never a path.
 * A Hub id is ORG/NAME.
 */
#ifndef ONBOARD_MODEL_H
#define ONBOARD_MODEL_H

#include "json.h"

bool model_slug_ok(const char *slug);
bool model_hub_id_ok(const char *id);
/* "Qwen/Qwen3-30B-A3B" -> "qwen3-30b-a3b" */
void model_slug_of(struct strbuf *sb, const char *hub_id);
/*
 * The slug without what does not change the shapes: a leading "meta-", and
 * -instruct, -base, -it, -chat, -hf, -thinking, -fp8, -bf16, -nvfp4, -fp4
 * and four-digit dates at the end.
 */
void model_family_of(struct strbuf *sb, const char *hub_id);

/*
 * Whether a name of the coverage page stands for the model: "Qwen3 8B", or
 * several by slashes ("Llama 3.1 / 3.3 70B", "DeepSeek V3/R1").
 */
bool model_page_covers(const char *name, const char *slug);

/*
 * The token as huggingface_hub keeps it: HF_TOKEN, else the file named by
 * HF_TOKEN_PATH, $HF_HOME/token, ~/.cache/huggingface/token. NULL without
 * one; the caller's to free.
 */
char *model_hub_token(void);
/* HF_ENDPOINT, or the Hub. */
const char *model_hub_endpoint(void);

/*
 * The sentence that names the kernel request of a definition, from the URL in
 * RUN/url/NAME.issue; NULL without one, the caller's to free.
 */
char *model_issue_note(const char *run_dir, const char *definition);

/*
 * How the cookbook's index serves the model: {tp, ep, page_sizes, file, line,
 * model}, the caller's to json_decref(). The model's own entry, else those of
 * its variants, else of its later minor versions (DeepSeek-V3.2 for
 * DeepSeek-V3); file, line and model are absent when there is none.
 */
json_t *model_cookbook_facts(const json_t *cookbook, const char *hub_id);

#endif
