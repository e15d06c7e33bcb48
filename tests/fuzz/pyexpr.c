/* The evaluator of constraints. */
#include "fuzz.h"
#include "pyexpr.h"

static bool axis(void *data, const char *name, bool *known, double *value)
{
	(void)data;
	*known = name[0] != 'u';
	*value = 7;
	return name[0] != 't';
}

static bool tensor(void *data, const char *name, struct pyexpr_tensor *t)
{
	static const int64_t shape[] = { 2, 3 }, values[] = { 0, 1, 2, 3, 4, 5 };

	(void)data;
	*t = (struct pyexpr_tensor){ 2, shape,
		name[1] == 'r' ? NULL : values, 6 };
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pyexpr_env env = { NULL, axis, tensor };
	struct strbuf err = STRBUF_INIT;
	char *s = xstrndup((const char *)data, size);

	if (pyexpr_eval(s, &env, &err) == PYEXPR_BAD && !err.len)
		abort();
	free(s);
	strbuf_release(&err);
	return 0;
}
