// SPDX-License-Identifier: Apache-2.0
#include "token.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/sha256.h"

enum { BUCKETS = 4096, TOKEN_BYTES = (TOKEN_TEXT_MAX - 1) / 2 };

struct slot {
	uint8_t token[SHA256_LEN];
	uint8_t who[SHA256_LEN]; /* when spent and told */
	bool spent, has_who;
};

struct entry {
	struct list_node bucket, order; /* order: of waiting (by age) or of settled (by end) */
	char id[TOKENS_ID_MAX];
	uint64_t deadline_ns, settled_ns;
	const char *how; /* NULL while it waits */
	struct slot slots[];
};

struct tokens {
	unsigned n_webhooks, n_waiting, n_settled;
	struct hash_key key;
	struct list_node waiting, settled;
	struct list_node buckets[BUCKETS];
};

bool token_id_valid(const char *id)
{
	static const char fine[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";
	size_t n = strnlen(id, TOKENS_ID_MAX);

	return n > 0 && n < TOKENS_ID_MAX && strspn(id, fine) == n;
}

int tokens_new(unsigned n_webhooks, struct tokens **ret)
{
	struct tokens *t;
	int r;

	assert(n_webhooks > 0 && n_webhooks <= TOKENS_WEBHOOKS_MAX);
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->n_webhooks = n_webhooks;
	list_init(&t->waiting);
	list_init(&t->settled);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&t->buckets[i]);
	r = hash_key_random(&t->key);
	if (r < 0) {
		free(t);
		return r;
	}
	*ret = t;
	return 0;
}

static void entry_free(struct tokens *t, struct entry *e)
{
	if (e->how)
		t->n_settled--;
	else
		t->n_waiting--;
	list_remove(&e->bucket);
	list_remove(&e->order);
	free(e);
}

struct tokens *tokens_free(struct tokens *t)
{
	if (!t)
		return NULL;
	list_foreach(n, &t->waiting)
		entry_free(t, container_of(n, struct entry, order));
	list_foreach(n, &t->settled)
		entry_free(t, container_of(n, struct entry, order));
	free(t);
	return NULL;
}

static struct list_node *bucket_of(struct tokens *t, const char *id)
{
	return &t->buckets[hash_bytes(slice_str(id), t->key) % BUCKETS];
}

static struct entry *find(struct tokens *t, const char *id)
{
	list_foreach(n, bucket_of(t, id)) {
		struct entry *e = container_of(n, struct entry, bucket);

		if (strcmp(e->id, id) == 0)
			return e;
	}
	return NULL;
}

static void settle(struct tokens *t, struct entry *e, const char *how, uint64_t now_ns)
{
	if (e->how)
		return;
	e->how = how;
	e->settled_ns = now_ns;
	t->n_waiting--;
	t->n_settled++;
	list_remove(&e->order);
	list_append(&t->settled, &e->order);
}

/* The waiting ones have different timeouts, so all are looked at, but only when there is a use. */
static void forget_old(struct tokens *t, uint64_t now_ns)
{
	list_foreach(n, &t->settled) {
		struct entry *e = container_of(n, struct entry, order);

		if (now_ns - e->settled_ns < TOKENS_KEPT_NS &&
		    t->n_waiting + t->n_settled < TOKENS_OPS_MAX)
			return;
		entry_free(t, e);
	}
	if (t->n_waiting < TOKENS_OPS_MAX)
		return;
	list_foreach(n, &t->waiting) {
		struct entry *e = container_of(n, struct entry, order);

		if (e->deadline_ns <= now_ns)
			entry_free(t, e);
	}
}

/* A token: hex of random bytes. */
static int token_make(char text[TOKEN_TEXT_MAX])
{
	static const char hex[] = "0123456789abcdef";
	uint8_t random[TOKEN_BYTES];
	ssize_t n;

	do {
		n = getrandom(random, sizeof(random), 0);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(random))
		return n < 0 ? -errno : -EIO;
	for (size_t i = 0; i < TOKEN_BYTES; i++) {
		text[2 * i] = hex[random[i] >> 4];
		text[2 * i + 1] = hex[random[i] & 15];
	}
	text[TOKEN_TEXT_MAX - 1] = '\0';
	explicit_bzero(random, sizeof(random));
	return 0;
}

int tokens_mint(struct tokens *t, const char *id, uint64_t deadline_ns, uint64_t now_ns,
		char ret[][TOKEN_TEXT_MAX])
{
	_cleanup_(free_p) struct entry *e = NULL;
	int r = 0;

	if (!token_id_valid(id))
		return -EINVAL;
	if (find(t, id))
		return -EEXIST;
	forget_old(t, now_ns);
	if (t->n_waiting + t->n_settled >= TOKENS_OPS_MAX)
		return -ENOSPC;
	e = calloc(1, sizeof(*e) + t->n_webhooks * sizeof(e->slots[0]));
	if (!e)
		return -ENOMEM;
	for (unsigned i = 0; i < t->n_webhooks && r == 0; i++) {
		r = token_make(ret[i]);
		if (r == 0)
			r = sha256_bytes(slice_str(ret[i]), e->slots[i].token);
	}
	if (r < 0)
		return r;
	memcpy(e->id, id, strlen(id) + 1);
	e->deadline_ns = deadline_ns;
	list_append(bucket_of(t, id), &e->bucket);
	list_append(&t->waiting, &e->order);
	t->n_waiting++;
	(void)TAKE_PTR(e); /* the table's now */
	return 0;
}

void tokens_settle(struct tokens *t, const char *id, const char *how, uint64_t now_ns)
{
	struct entry *e = find(t, id);

	if (e)
		settle(t, e, how, now_ns);
}

void tokens_settle_all(struct tokens *t, const char *how, uint64_t now_ns)
{
	list_foreach(n, &t->waiting)
		settle(t, container_of(n, struct entry, order), how, now_ns);
}

/* The slot that a token opens, or NULL. Whether the id exists does not show in the time it takes. */
static struct slot *open_slot(struct tokens *t, const char *id, const char *token, uint64_t now_ns,
			      struct entry **ret_e, int *ret_index)
{
	static const struct slot nothing;
	struct entry *e = token_id_valid(id) ? find(t, id) : NULL;
	uint8_t digest[SHA256_LEN];
	struct slot *found = NULL;

	if (sha256_bytes(slice_str(token), digest) < 0)
		return NULL;
	for (unsigned i = 0; i < t->n_webhooks; i++)
		if (sha256_equal(e ? e->slots[i].token : nothing.token, digest) && e) {
			found = &e->slots[i];
			*ret_index = (int)i;
		}
	if (found && e->deadline_ns <= now_ns)
		settle(t, e, "expired", now_ns);
	*ret_e = e;
	return found;
}

int tokens_check(struct tokens *t, const char *id, const char *token, uint64_t now_ns,
		 const char **ret_how)
{
	struct entry *e;
	int i;

	if (!open_slot(t, id, token, now_ns, &e, &i))
		return -EACCES;
	*ret_how = e->how;
	return i;
}

int tokens_spend(struct tokens *t, const char *id, const char *token, const char *who,
		 uint64_t now_ns)
{
	uint8_t digest[SHA256_LEN];
	struct entry *e;
	struct slot *s;
	int i;

	s = open_slot(t, id, token, now_ns, &e, &i);
	if (!s)
		return -EACCES;
	if (s->spent)
		return -EALREADY;
	if (e->how)
		return -ENOENT;
	if (sha256_bytes(slice_str(who), digest) < 0)
		return -ENOMEM;
	for (unsigned k = 0; *who && k < t->n_webhooks; k++)
		if (e->slots[k].has_who && sha256_equal(e->slots[k].who, digest))
			return -EEXIST;
	s->spent = true;
	if (*who) {
		s->has_who = true;
		memcpy(s->who, digest, sizeof(digest));
	}
	return i;
}

unsigned tokens_waiting(const struct tokens *t)
{
	return t->n_waiting;
}
