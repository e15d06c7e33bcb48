#include "kernels.h"

#include <ctype.h>

bool kernel_name_ok(const char *s)
{
	const char *p;

	for (p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_-.", *p))
			return false;
	return p > s && p - s <= 200 && *s != '.';
}

static void set_number(json_t *o, const char *key, size_t len, json_int_t v)
{
	char *k = xstrndup(key, len);

	json_object_set_new(o, k, json_integer(v));
	free(k);
}

bool kernel_name_fits(const char *p, const char *n, json_t *params)
{
	while (*p) {
		size_t digits = strspn(n, "0123456789"), key;

		if (strncmp(p, "@{", 2)) {
			if (*p++ != *n++)
				return false;
			continue;
		}
		key = strcspn(p + 2, "}");
		if (key == 7 && !strncmp(p + 2, "variant", 7)) {
			if (*n != '_')
				return false;
			json_object_set_new(params, "variant",
					    json_string(n));
			return true;
		}
		if (!digits || digits > 18)
			return false;
		set_number(params, p + 2, key, strtoll(n, NULL, 10));
		n += digits;
		p += key + 3;
	}
	return !*n;
}
