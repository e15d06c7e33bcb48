/* Definitions and workload lines: a JSON array of the two. */
#include "check.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *templates = json_pack("[s]", "gqa_h@{h}_kv@{kv}");
	struct check_blob blob = { .path = NULL };
	struct check c = { .dirfd = -1, .file = "f", .blob = &blob,
		.templates = templates };
	struct jdoc doc = JDOC_INIT;
	struct strbuf err = STRBUF_INIT;
	char *text = xmalloc(size + 1);
	const struct jval *j, *d;

	memcpy(text, data, size);
	j = jdoc_parse(&doc, text, size, "f", &err);
	d = jv_is(j, J_ARR) ? jv_at(j, 0) : j;
	if (d && check_definition(&c, d, "op", "name"))
		check_workload(&c, jv_at(j, 1), d);
	check_blob_close(&blob);
	check_release(&c);
	json_decref(templates);
	jdoc_release(&doc);
	strbuf_release(&err);
	free(text);
	return 0;
}
