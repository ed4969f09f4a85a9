/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4) by libcrypto: names policies in records. The one door to OpenSSL outside of
 * its own folder; nothing of OpenSSL's types comes through it.
 */
#ifndef WEIR_SHA256_H
#define WEIR_SHA256_H

#include "slice.h"

enum { SHA256_LEN = 32 };

/* 0, or -ENOMEM (libcrypto fails here for no other reason). */
int sha256_bytes(struct slice s, uint8_t ret[SHA256_LEN]) __must_check;

#endif
