/* Headers and integer tensors of blobs. */
#include "fuzz.h"
#include "safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct strbuf err = STRBUF_INIT;
	struct safetensors st;
	struct st_tensor t;
	const struct jval *v;
	char path[64];
	size_t n;
	int fd = fuzz_file(path, data, size);

	if (!st_open(&st, path, &err)) {
		jv_each(v, st.header)
			if (!st_find(&st, v->key, &t, &err))
				free(st_ints(&st, &t, &n, &err));
		st_close(&st);
	} else if (!err.len) {
		abort();
	}
	close(fd);
	strbuf_release(&err);
	return 0;
}
