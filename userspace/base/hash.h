/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-1-3 under a key: for tables whose keys a peer chooses (a fixed hash would let it aim all
 * of them at one bucket). With HASH_KEY_FIXED, for fingerprints that must be equal over restarts.
 */
#ifndef WEIR_HASH_H
#define WEIR_HASH_H

#include "slice.h"

struct hash_key {
	uint64_t k0, k1;
};

#define HASH_KEY_FIXED ((struct hash_key){ 0x7765697277656972ULL, 0x66696e6765727072ULL })

/* A key from the kernel's generator. 0 or the negative errno of getrandom(2). */
int hash_key_random(struct hash_key *ret) __must_check;
uint64_t hash_bytes(struct slice s, struct hash_key key);

/* A good mixer for integers: for tables keyed by numbers that no peer chooses. */
static inline uint64_t hash_u64(uint64_t v)
{
	v ^= v >> 32;
	v *= 0xd6e8feb86659fd93ULL;
	v ^= v >> 32;
	v *= 0xd6e8feb86659fd93ULL;
	return v ^ (v >> 32);
}

#endif
