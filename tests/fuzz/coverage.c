/* The coverage page (mdx): its summary, and the page brought up to date. */
#include "coverage.h"
#include "fuzz.h"
#include "index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct strbuf err = STRBUF_INIT, out = STRBUF_INIT, two = STRBUF_INIT;
	json_t *j = index_coverage_text((const char *)data, size, "f", &err);
	json_t *rows = json_pack("[{s:s, s:s, s:s}]", "definition_name",
		"rmsnorm_h4096", "op_type", "rmsnorm", "status", "part");
	json_t *possible = json_pack("{s:s}", "rmsnorm_h4096", "rmsnorm");
	struct coverage c = { "llama-3.1-8b", "Llama 3.1 8B", "GQA + Dense",
			      rows, possible };

	if (!j && !err.len)
		abort();
	json_decref(j);
	strbuf_reset(&err);
	j = coverage_update(&out, (const char *)data, size, &c, &err);
	if (j) {
		json_decref(j);
		/* brought up to date twice is brought up to date */
		j = coverage_update(&two, out.buf, out.len, &c, &err);
		if (!j || two.len != out.len ||
		    memcmp(two.buf, out.buf, out.len))
			abort();
	}
	json_decref(j);
	json_decref(rows);
	json_decref(possible);
	strbuf_release(&err);
	strbuf_release(&out);
	strbuf_release(&two);
	return 0;
}
