// SPDX-License-Identifier: Apache-2.0
#include "sha256.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>

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
