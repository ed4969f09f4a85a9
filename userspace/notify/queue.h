/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deliveries that wait for their time. Bounded in number and bytes: when it is full the oldest that is
 * not under way is dropped and counted, so that a webhook that is down holds up nobody. A pure
 * structure: time (monotonic) and chance come from the caller.
 */
#ifndef WEIR_NOTIFY_QUEUE_H
#define WEIR_NOTIFY_QUEUE_H

#include "base/list.h"
#include "base/slice.h"
#include "token.h"

enum {
	QUEUE_MAX = 4096,                   /* deliveries */
	QUEUE_BYTES_MAX = 32 * 1024 * 1024, /* of bodies */
	QUEUE_BUSY_MAX = 4, /* under way at once to one webhook: a slow one takes no more */
	QUEUE_ATTEMPTS_MAX = 12,
	QUEUE_RETRY_AFTER_MAX_S = 120, /* what a server may ask for at most */
};

enum delivery_kind { DELIVERY_HELD, DELIVERY_SETTLED };
enum delivery_outcome { DELIVERY_DONE, DELIVERY_AGAIN, DELIVERY_REFUSED };

struct delivery {
	struct list_node node;
	unsigned webhook; /* index */
	enum delivery_kind kind;
	char id[TOKENS_ID_MAX]; /* of the operation */
	char *body;
	size_t len;
	unsigned attempts;   /* begun so far */
	uint64_t next_ns;    /* not before */
	uint64_t expires_ns; /* no further attempt from then on */
	bool busy;           /* under way: stays where it is */
	bool stale;          /* settled meanwhile: no further attempt */
	void *transfer;      /* the sender's, while busy */
};

struct queue_stats {
	uint64_t sent, retried, failed, dropped;
};

struct queue {
	struct list_node list; /* oldest first */
	unsigned n;
	size_t bytes;
	unsigned busy[TOKENS_WEBHOOKS_MAX];
	struct queue_stats stats;
};

void queue_init(struct queue *q);
/* None may be busy any more. */
void queue_done_all(struct queue *q);

/*
 * Puts one in. Consumes body on success. 0; -EMSGSIZE larger than the queue; -ENOBUFS full of what is
 * under way; -ENOMEM.
 */
int queue_push(struct queue *q, unsigned webhook, enum delivery_kind kind, const char *id,
	       char *body, size_t len, uint64_t now_ns, uint64_t expires_ns) __must_check;
/* One that is due and whose webhook has a place; marks it busy. NULL when there is none. */
struct delivery *queue_next(struct queue *q, uint64_t now_ns);
/* When queue_next may find one; UINT64_MAX: not by time alone. */
uint64_t queue_wake_ns(const struct queue *q);
/* How an attempt ended; d is freed unless it is to be tried again. retry_after_s: the server's wish, 0 =
 * none. noise: any random number. True: it is tried again. */
bool queue_finish(struct queue *q, struct delivery *d, enum delivery_outcome how,
		  uint64_t retry_after_s, uint32_t noise, uint64_t now_ns);
/* The operation waits no more: what was not told of it yet is taken out. */
void queue_settle(struct queue *q, const char *id);

/* The pause after that many attempts: 0.5 s doubled each time, at most a minute, of which a random half
 * is taken off; at least what the server asks for, within QUEUE_RETRY_AFTER_MAX_S. */
uint64_t queue_pause_ns(unsigned attempts, uint64_t retry_after_s, uint32_t noise);

#endif
