/*
 * json.h - JSON documents at the border, on Jansson.
 *
 * Documents keep their key order (it is a kernel's interface). Loading
 * refuses duplicate keys, NUL bytes, documents over `max` bytes and what is
 * no JSON, with one sentence that names file, line and reason.
 *
 * Getters borrow. json_need_*() append a sentence naming file and key when
 * the key is absent, null or of another type, and return NULL / -1.
 */
#ifndef ONBOARD_JSON_H
#define ONBOARD_JSON_H

#include "strbuf.h"

#include <jansson.h>

#define JSON_MAX_CONFIG ((size_t)16 << 20)
#define JSON_MAX_INDEX ((size_t)256 << 20)

/* A document, the caller's to json_decref(); NULL with a sentence in err. */
json_t *json_load_path(const char *path, size_t max, struct strbuf *err);
json_t *json_parse(const char *text, size_t len, const char *name,
		   struct strbuf *err);

/* Two-space indentation as the dataset has it, and a line feed at the end. */
void json_print(struct strbuf *sb, const json_t *j);
/* The same through outfile_write(); "-" is standard output. */
int json_save(const json_t *j, const char *path, struct strbuf *err);

const char *json_need_str(const json_t *obj, const char *key,
			  const char *file, struct strbuf *err);
json_t *json_need_array(const json_t *obj, const char *key, const char *file,
			struct strbuf *err);
json_t *json_need_object(const json_t *obj, const char *key, const char *file,
			 struct strbuf *err);
/* NULL when absent or no string. */
const char *json_get_str(const json_t *obj, const char *key);
bool json_array_has(const json_t *arr, const char *s);
/* Adds a string unless it is there. */
void json_array_add(json_t *arr, const char *s);
/* Strings in byte order, each once: a new array. */
json_t *json_sorted_set(const json_t *arr);
/* Adds the integers of `from` to `to`, which stays sorted, each once. */
void json_merge_numbers(json_t *to, const json_t *from);
/* Their texts, borrowed, and NULL: for exec. The array is to be freed. */
char **json_strings(const json_t *arr);
/* A new object with the same members, keys in byte order. */
json_t *json_sorted_object(const json_t *obj);

#endif
