// SPDX-License-Identifier: Apache-2.0
#include "queue.h"

#include <assert.h>
#include <errno.h>

#define SEC 1000000000ULL
#define PAUSE_FIRST_NS (SEC / 2)
#define PAUSE_MAX_NS (60 * SEC)

void queue_init(struct queue *q)
{
	*q = (struct queue){ .n = 0 };
	list_init(&q->list);
}

static void delivery_free(struct queue *q, struct delivery *d)
{
	if (d->busy)
		q->busy[d->webhook]--;
	list_remove(&d->node);
	q->n--;
	q->bytes -= d->len;
	explicit_bzero(d->body, d->len); /* there is a token in it */
	free(d->body);
	free(d);
}

void queue_done_all(struct queue *q)
{
	list_foreach(n, &q->list) {
		struct delivery *d = container_of(n, struct delivery, node);

		assert(!d->busy);
		delivery_free(q, d);
	}
}

static bool drop_oldest(struct queue *q)
{
	list_foreach(n, &q->list) {
		struct delivery *d = container_of(n, struct delivery, node);

		if (d->busy)
			continue;
		q->stats.dropped++;
		delivery_free(q, d);
		return true;
	}
	return false;
}

int queue_push(struct queue *q, unsigned webhook, enum delivery_kind kind, const char *id,
	       char *body, size_t len, uint64_t now_ns, uint64_t expires_ns)
{
	struct delivery *d;

	assert(webhook < TOKENS_WEBHOOKS_MAX && strlen(id) < TOKENS_ID_MAX);
	if (len > QUEUE_BYTES_MAX)
		return -EMSGSIZE;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	while (q->n >= QUEUE_MAX || len > QUEUE_BYTES_MAX - q->bytes)
		if (!drop_oldest(q)) {
			free(d);
			return -ENOBUFS;
		}
	d->webhook = webhook;
	d->kind = kind;
	memcpy(d->id, id, strlen(id) + 1);
	d->body = body;
	d->len = len;
	d->next_ns = now_ns;
	d->expires_ns = expires_ns;
	list_append(&q->list, &d->node);
	q->n++;
	q->bytes += len;
	return 0;
}

struct delivery *queue_next(struct queue *q, uint64_t now_ns)
{
	list_foreach(n, &q->list) {
		struct delivery *d = container_of(n, struct delivery, node);

		if (d->busy || d->next_ns > now_ns)
			continue;
		if (d->expires_ns <= now_ns) {
			q->stats.failed++;
			delivery_free(q, d);
			continue;
		}
		if (q->busy[d->webhook] >= QUEUE_BUSY_MAX)
			continue;
		d->busy = true;
		d->attempts++;
		q->busy[d->webhook]++;
		return d;
	}
	return NULL;
}

uint64_t queue_wake_ns(const struct queue *q)
{
	uint64_t when = UINT64_MAX;

	for (const struct list_node *n = q->list.next; n != &q->list; n = n->next) {
		const struct delivery *d = container_of(n, struct delivery, node);

		if (!d->busy && q->busy[d->webhook] < QUEUE_BUSY_MAX)
			when = MIN(when, d->next_ns);
	}
	return when;
}

uint64_t queue_pause_ns(unsigned attempts, uint64_t retry_after_s, uint32_t noise)
{
	uint64_t asked = MIN(retry_after_s, (uint64_t)QUEUE_RETRY_AFTER_MAX_S) * SEC;
	uint64_t pause =
		attempts < 16 ? PAUSE_FIRST_NS << (attempts ? attempts - 1 : 0) : PAUSE_MAX_NS;

	pause = MIN(pause, (uint64_t)PAUSE_MAX_NS);
	/* A random half: many that failed together do not come back together. */
	pause -= pause / 2 * (noise & 0xffff) / 0x10000;
	return MAX(pause, asked);
}

bool queue_finish(struct queue *q, struct delivery *d, enum delivery_outcome how,
		  uint64_t retry_after_s, uint32_t noise, uint64_t now_ns)
{
	uint64_t next_ns = now_ns + queue_pause_ns(d->attempts, retry_after_s, noise);

	assert(d->busy);
	d->transfer = NULL;
	if (how == DELIVERY_AGAIN && !d->stale && d->attempts < QUEUE_ATTEMPTS_MAX &&
	    next_ns < d->expires_ns) {
		d->busy = false;
		q->busy[d->webhook]--;
		d->next_ns = next_ns;
		q->stats.retried++;
		return true;
	}
	if (how == DELIVERY_DONE)
		q->stats.sent++;
	else
		q->stats.failed++;
	delivery_free(q, d);
	return false;
}

void queue_settle(struct queue *q, const char *id)
{
	list_foreach(n, &q->list) {
		struct delivery *d = container_of(n, struct delivery, node);

		if (d->kind != DELIVERY_HELD || strcmp(d->id, id) != 0)
			continue;
		if (d->busy)
			d->stale = true;
		else
			delivery_free(q, d);
	}
}
