#include "base64.h"

#include <openssl/evp.h>

void base64_encode(struct strbuf *sb, const void *data, size_t len)
{
	const unsigned char *p = data;
	unsigned char out[4 * 4096 + 1];
	size_t n;

	/* pieces of whole triples join without padding between them */
	for (; len; p += n, len -= n) {
		n = len < 3 * 4096 ? len : 3 * 4096;
		strbuf_add(sb, out, (size_t)EVP_EncodeBlock(out, p, (int)n));
	}
}

int base64_decode(struct strbuf *sb, const char *text, struct strbuf *err)
{
	EVP_ENCODE_CTX *c = EVP_ENCODE_CTX_new();
	size_t len = strlen(text), n;
	unsigned char out[4096];
	int got = 0, ret = 0;

	EVP_DecodeInit(c);
	for (; len && !ret; text += n, len -= n) {
		n = len < 4096 ? len : 4096;
		if (EVP_DecodeUpdate(c, out, &got, (const unsigned char *)text,
				     (int)n) < 0)
			ret = -1;
		else
			strbuf_add(sb, out, (size_t)got);
	}
	if (!ret && EVP_DecodeFinal(c, out, &got) < 0)
		ret = -1;
	if (ret)
		strbuf_addstr(err, "it is not valid base64");
	EVP_ENCODE_CTX_free(c);
	return ret;
}
