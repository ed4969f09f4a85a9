/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may answer an operation on hold from elsewhere: for each operation and webhook one random token,
 * which is told in the body of that webhook and nowhere else. It names the webhook as the answerer,
 * counts once, and is worth nothing when the operation waits no more. Only digests are kept, and they
 * are compared in constant time; a wrong token and an unknown operation look the same.
 *
 * Settled operations stay known for a while so that a late answer hears how it ended. Times are
 * monotonic and given by the caller.
 */
#ifndef WEIR_NOTIFY_TOKEN_H
#define WEIR_NOTIFY_TOKEN_H

#include "base/slice.h"

enum {
	TOKEN_TEXT_MAX = 49, /* 192 random bits as hex, and the NUL */
	TOKENS_ID_MAX = 64,  /* of an operation's id, NUL included */
	TOKENS_WEBHOOKS_MAX = 16,
	TOKENS_OPS_MAX = 16384, /* as many as can be on hold, and then some: bounded memory */
};
#define TOKENS_KEPT_NS (600ULL * 1000000000ULL) /* how long an end is remembered */

struct tokens;

/* Letters, digits and "-", at most TOKENS_ID_MAX - 1 of them and at least one. */
bool token_id_valid(const char *id);

/* For n_webhooks (1 to TOKENS_WEBHOOKS_MAX). 0, -ENOMEM. */
int tokens_new(unsigned n_webhooks, struct tokens **ret) __must_check;
struct tokens *tokens_free(struct tokens *t);

/*
 * Makes the tokens of an operation, n_webhooks of them. 0; -EINVAL not an id; -EEXIST it has some;
 * -ENOSPC too many operations wait; -ENOMEM; getrandom's own.
 */
int tokens_mint(struct tokens *t, const char *id, uint64_t deadline_ns, uint64_t now_ns,
		char ret[][TOKEN_TEXT_MAX]) __must_check;
/* It waits no more; `how` is static: "approved", "denied", "expired", "gone". An unknown id is fine. */
void tokens_settle(struct tokens *t, const char *id, const char *how, uint64_t now_ns);
/* None waits any more. */
void tokens_settle_all(struct tokens *t, const char *how, uint64_t now_ns);

/* Whose token is it? Index of the webhook, *ret_how then NULL while it waits or how it ended; -EACCES. */
int tokens_check(struct tokens *t, const char *id, const char *token, uint64_t now_ns,
		 const char **ret_how) __must_check;
/*
 * Uses it up for an answer by `who` ("" = not told). Index of the webhook; -EACCES; -ENOENT the operation
 * waits no more; -EALREADY used up before; -EEXIST the same `who` has answered by another webhook.
 */
int tokens_spend(struct tokens *t, const char *id, const char *token, const char *who,
		 uint64_t now_ns) __must_check;

/* Operations that wait. */
unsigned tokens_waiting(const struct tokens *t);

#endif
