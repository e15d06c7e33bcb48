/* The cookbook's pages. */
#include "fuzz.h"
#include "yamldoc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct strbuf err = STRBUF_INIT;
	json_t *j = yaml_parse((const char *)data, size, "f", &err);

	if (!j && !err.len)
		abort();
	json_decref(j);
	strbuf_release(&err);
	return 0;
}
