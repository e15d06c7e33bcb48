/* The scanner of Python sources: any bytes end, inside the buffer. */
#include "fuzz.h"
#include "pyscan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct strbuf sb = STRBUF_INIT;
	struct pyscan ps;
	size_t i;

	pyscan_init(&ps, (const char *)data, size);
	for (i = 0; i < ps.nchains; i++)
		pyscan_dotted(&sb, ps.chains[i].text);
	pyscan_release(&ps);
	strbuf_release(&sb);
	return 0;
}
