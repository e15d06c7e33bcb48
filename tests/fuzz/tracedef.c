/* FlashInfer's trace dumps. */
#include "fuzz.h"
#include "tracedef.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tracedef t = { "/nonexistent", NULL, "slug" };
	struct strbuf err = STRBUF_INIT;
	json_t *j = json_parse((const char *)data, size, "f", &err);
	const json_t *entry;
	const char *repair;

	if (j && tracedef_normalise(j, &t, &entry, &repair, &err) && !err.len)
		abort();
	json_decref(j);
	strbuf_release(&err);
	return 0;
}
