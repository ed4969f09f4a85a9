// SPDX-License-Identifier: Apache-2.0
#include "names.h"

#include <netdb.h>
#include <stdlib.h>

struct entry {
	uint8_t ip[16];
	char *name;
};

struct names {
	size_t n, cap;
	struct entry *entries; /* sorted by ip */
};

struct names *names_free(struct names *n)
{
	if (!n)
		return NULL;
	for (size_t i = 0; i < n->n; i++)
		free(n->entries[i].name);
	free(n->entries);
	free(n);
	return NULL;
}

static bool names_add(struct names *n, const struct addr *a, struct slice name)
{
	char *copy;

	if (n->n == NAMES_MAX)
		return false;
	if (n->n == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 16;
		struct entry *grown = realloc(n->entries, cap * sizeof(*grown));

		if (!grown)
			return false;
		n->entries = grown;
		n->cap = cap;
	}
	copy = slice_dup(name);
	if (!copy)
		return false;
	memcpy(n->entries[n->n].ip, a->ip, sizeof(a->ip));
	n->entries[n->n++].name = copy;
	return true;
}

static bool resolve_one(struct names *n, struct slice name)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	_cleanup_(free_p) char *text = slice_dup(name);
	struct addrinfo *list = NULL;
	bool ok = true;

	if (!text)
		return false;
	/* A name that does not resolve now matches nothing: connections to it are refused. */
	if (getaddrinfo(text, NULL, &hints, &list) != 0)
		return true;
	for (struct addrinfo *ai = list; ai && ok; ai = ai->ai_next) {
		struct addr a;

		if (addr_from_sockaddr(ai->ai_addr, &a) == 0)
			ok = names_add(n, &a, name);
	}
	freeaddrinfo(list);
	return ok;
}

static int by_ip(const void *a, const void *b)
{
	return memcmp(((const struct entry *)a)->ip, ((const struct entry *)b)->ip, 16);
}

struct names *names_resolve(struct policy_set *const *sets, size_t n_sets)
{
	struct names *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	for (size_t s = 0; s < n_sets; s++) {
		struct slice name;

		if (!sets[s])
			continue;
		for (size_t i = 0; (name = policy_set_host_name(sets[s], i)).len; i++)
			if (!resolve_one(n, name))
				return names_free(n);
	}
	if (!n->n)
		return names_free(n);
	qsort(n->entries, n->n, sizeof(*n->entries), by_ip);
	return n;
}

static struct slice name_at(void *ctx, const struct addr *a, size_t i)
{
	const struct names *n = ctx;
	size_t lo = 0, hi = n ? n->n : 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (memcmp(n->entries[mid].ip, a->ip, 16) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!n || i >= n->n - lo || memcmp(n->entries[lo + i].ip, a->ip, 16) != 0)
		return SLICE_NONE;
	return slice_str(n->entries[lo + i].name);
}

struct policy_names names_view(const struct names *n)
{
	return (struct policy_names){ .at = name_at, .ctx = (void *)(uintptr_t)n };
}
