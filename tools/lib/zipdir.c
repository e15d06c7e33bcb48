#include "zipdir.h"
#include "fileio.h"

#define MAX_DIRECTORY ((uint64_t)16 << 20)

uint64_t zip_little(const unsigned char *p, int n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

/* Where the central directory is; false if this is no zip. */
static bool directory(int fd, uint64_t size, uint64_t *at, uint64_t *len)
{
	unsigned char tail[65536 + 22 + 20], big[56];
	uint64_t n = size < sizeof(tail) ? size : sizeof(tail), i;

	if (n < 22 || file_get(fd, tail, n, size - n))
		return false;
	for (i = n - 22;; i--) {
		if (zip_little(tail + i, 4) == 0x06054b50)
			break;
		if (!i)
			return false;
	}
	*len = zip_little(tail + i + 12, 4);
	*at = zip_little(tail + i + 16, 4);
	if (i >= 20 && zip_little(tail + i - 20, 4) == 0x07064b50) {
		uint64_t z = zip_little(tail + i - 12, 8);

		if (z > size - sizeof(big) || size < sizeof(big) ||
		    file_get(fd, big, sizeof(big), z) ||
		    zip_little(big, 4) != 0x06064b50)
			return false;
		*len = zip_little(big + 40, 8);
		*at = zip_little(big + 48, 8);
	}
	return *at <= size && *len <= size - *at && *len <= MAX_DIRECTORY;
}

/* Sizes of 2^32 - 1 stand in the zip64 field of the entry. */
static void zip64(const unsigned char *extra, uint64_t n, uint64_t *size,
		  uint64_t *packed, uint64_t *local)
{
	while (n >= 4) {
		uint64_t id = zip_little(extra, 2), len = zip_little(extra + 2, 2);
		const unsigned char *p = extra + 4;
		uint64_t left = len;

		if (len > n - 4)
			return;
		if (id == 1) {
			uint64_t *v[] = { size, packed, local };
			size_t i;

			for (i = 0; i < 3; i++)
				if (*v[i] == 0xffffffff && left >= 8) {
					*v[i] = zip_little(p, 8);
					p += 8;
					left -= 8;
				}
		}
		extra += 4 + len;
		n -= 4 + len;
	}
}

json_t *zip_entries(int fd, uint64_t size)
{
	uint64_t at, len, i = 0;
	unsigned char *dir, head[30];
	json_t *out;

	if (!directory(fd, size, &at, &len))
		return NULL;
	dir = xmalloc(len + 1);
	out = json_object();
	if (file_get(fd, dir, len, at))
		len = 0;
	while (len - i >= 46 && zip_little(dir + i, 4) == 0x02014b50) {
		const unsigned char *e = dir + i;
		uint64_t name = zip_little(e + 28, 2), extra = zip_little(e + 30, 2);
		uint64_t packed = zip_little(e + 20, 4), plain = zip_little(e + 24, 4);
		uint64_t local = zip_little(e + 42, 4), skip;
		const char *slash;

		skip = 46 + name + extra + zip_little(e + 32, 2);
		if (skip > len - i)
			break;
		zip64(e + 46 + name, extra, &plain, &packed, &local);
		slash = memchr(e + 46, '/', name);
		if (slash && !zip_little(e + 10, 2) && packed == plain &&
		    local <= size && size - local >= 30 &&
		    !file_get(fd, head, 30, local)) {
			uint64_t from = local + 30 + zip_little(head + 26, 2) +
				zip_little(head + 28, 2);
			char *key = xstrndup(slash + 1, name - (uint64_t)
				(slash + 1 - (const char *)e - 46));

			if (from <= size && plain <= size - from)
				json_object_set_new(out, key, json_pack(
					"[I,I]", (json_int_t)from,
					(json_int_t)plain));
			free(key);
		}
		i += skip;
	}
	free(dir);
	return out;
}
