/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4) and HMAC with it (RFC 2104) by libcrypto: names policies in records, signs
 * webhooks. The one door to OpenSSL outside of its own folder; nothing of OpenSSL's types comes
 * through it.
 */
#ifndef WEIR_SHA256_H
#define WEIR_SHA256_H

#include "slice.h"

enum { SHA256_LEN = 32 };

/* 0, or -ENOMEM (libcrypto fails here for no other reason). */
int sha256_bytes(struct slice s, uint8_t ret[SHA256_LEN]) __must_check;

/* HMAC-SHA256 of s. 0; -EINVAL an empty key; -ENOMEM. */
int sha256_hmac(struct slice key, struct slice s, uint8_t ret[SHA256_LEN]) __must_check;
/* Are they equal? Takes the same time wherever they differ: for digests of secrets. */
bool sha256_equal(const uint8_t a[SHA256_LEN], const uint8_t b[SHA256_LEN]);

enum { SHA256_TEXT_MAX = 2 * SHA256_LEN + 1 };
/* Lower-case hex with its NUL. Returns out. */
char *sha256_format(const uint8_t digest[SHA256_LEN], char out[SHA256_TEXT_MAX]);

#endif
