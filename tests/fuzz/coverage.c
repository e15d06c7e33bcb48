/* The coverage page (mdx). */
#include "fuzz.h"
#include "index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct strbuf err = STRBUF_INIT;
	json_t *j = index_coverage_text((const char *)data, size, "f", &err);

	if (!j && !err.len)
		abort();
	json_decref(j);
	strbuf_release(&err);
	return 0;
}
