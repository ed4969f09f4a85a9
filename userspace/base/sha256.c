// SPDX-License-Identifier: Apache-2.0
#include "sha256.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

int sha256_bytes(struct slice s, uint8_t ret[SHA256_LEN])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (EVP_Digest(s.len ? s.ptr : (const uint8_t *)"", s.len, digest, &len, EVP_sha256(),
		       NULL) != 1 ||
	    len != SHA256_LEN) {
		ERR_clear_error();
		return -ENOMEM;
	}
	memcpy(ret, digest, SHA256_LEN);
	return 0;
}

int sha256_hmac(struct slice key, struct slice s, uint8_t ret[SHA256_LEN])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!key.len || key.len > INT32_MAX)
		return -EINVAL;
	if (!HMAC(EVP_sha256(), key.ptr, (int)key.len, s.len ? s.ptr : (const uint8_t *)"", s.len,
		  digest, &len) ||
	    len != SHA256_LEN) {
		ERR_clear_error();
		return -ENOMEM;
	}
	memcpy(ret, digest, SHA256_LEN);
	return 0;
}

bool sha256_equal(const uint8_t a[SHA256_LEN], const uint8_t b[SHA256_LEN])
{
	return CRYPTO_memcmp(a, b, SHA256_LEN) == 0;
}

char *sha256_format(const uint8_t digest[SHA256_LEN], char out[SHA256_TEXT_MAX])
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < SHA256_LEN; i++) {
		out[2 * i] = hex[digest[i] >> 4];
		out[2 * i + 1] = hex[digest[i] & 15];
	}
	out[SHA256_TEXT_MAX - 1] = '\0';
	return out;
}
