// SPDX-License-Identifier: Apache-2.0
/* SipHash-1-3: Aumasson and Bernstein, "SipHash: a fast short-input PRF", with c=1, d=3. */
#include "hash.h"

#include <errno.h>
#include <sys/random.h>

int hash_key_random(struct hash_key *ret)
{
	struct hash_key key;
	ssize_t n = getrandom(&key, sizeof(key), 0);

	if (n < 0)
		return -errno;
	if (n != sizeof(key))
		return -EIO;
	*ret = key;
	return 0;
}

static inline uint64_t rotl(uint64_t v, int n)
{
	return (v << n) | (v >> (64 - n));
}

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 = rotl(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t m)
{
	s->v3 ^= m;
	sip_round(s);
	s->v0 ^= m;
}

uint64_t hash_bytes(struct slice in, struct hash_key key)
{
	struct sip s = { key.k0 ^ 0x736f6d6570736575ULL, key.k1 ^ 0x646f72616e646f6dULL,
			 key.k0 ^ 0x6c7967656e657261ULL, key.k1 ^ 0x7465646279746573ULL };
	uint64_t last = (uint64_t)in.len << 56;
	size_t whole = in.len & ~(size_t)7;

	for (size_t i = 0; i < whole; i += 8) {
		uint64_t m;

		memcpy(&m, in.ptr + i, sizeof(m));
		sip_word(&s, m);
	}
	for (size_t i = whole; i < in.len; i++)
		last |= (uint64_t)in.ptr[i] << (8 * (i - whole));
	sip_word(&s, last);
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
