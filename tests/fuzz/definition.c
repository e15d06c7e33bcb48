/* Definitions and workload lines: a JSON array of the two. */
#include "check.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct check c = { .dataset = "/nonexistent", .dirfd = -1, .file = "f",
		.templates = json_array() };
	struct strbuf err = STRBUF_INIT;
	json_t *j = json_parse((const char *)data, size, "f", &err);
	json_t *d = json_is_array(j) ? json_array_get(j, 0) : j;

	json_array_append_new(c.templates,
			      json_string("gqa_h@{h}_kv@{kv}"));
	if (d && check_definition(&c, d, "op", "name"))
		check_workload(&c, json_array_get(j, 1), d);
	json_decref(j);
	check_release(&c);
	json_decref(c.templates);
	strbuf_release(&err);
	return 0;
}
