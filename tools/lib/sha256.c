#include "sha256.h"

#include <fcntl.h>
#include <openssl/evp.h>

static void to_hex(char hex[SHA256_HEX], const unsigned char *md)
{
	int i;

	for (i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", md[i]);
}

void sha256_bytes(char hex[SHA256_HEX], const void *data, size_t len)
{
	unsigned char md[32];

	if (!EVP_Digest(data, len, md, NULL, EVP_sha256(), NULL))
		BUG("libcrypto has no SHA-256");
	to_hex(hex, md);
}

int sha256_file(char hex[SHA256_HEX], const char *path, struct strbuf *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char md[32];
	char buf[65536];
	ssize_t n = -1;

	if (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL))
		BUG("libcrypto has no SHA-256");
	if (fd >= 0) {
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			EVP_DigestUpdate(ctx, buf, (size_t)n);
		close(fd);
	}
	EVP_DigestFinal_ex(ctx, md, NULL);
	EVP_MD_CTX_free(ctx);
	if (n < 0) {
		strbuf_addf(err, "unable to read %s: %s", path,
			    strerror(errno));
		return -1;
	}
	to_hex(hex, md);
	return 0;
}
