/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends what is in a queue by HTTP (libcurl), never blocking: TLS verified, no redirects followed, no
 * proxy, no cookies, answers read within bounds and thrown away. This and answers.c are the only
 * files that see foreign bytes of webhooks; they run in the notifier alone.
 */
#ifndef WEIR_NOTIFY_DELIVER_H
#define WEIR_NOTIFY_DELIVER_H

#include "queue.h"

enum {
	DELIVER_URL_MAX = 2048,
	DELIVER_NAME_MAX =
		56, /* of a webhook, NUL included: "webhook:" stands before it in records */
	DELIVER_KEY_MIN = 16,
	DELIVER_KEY_MAX = 1024,
	DELIVER_CA_MAX = 1024 * 1024,
	DELIVER_ANSWER_MAX = 64 * 1024, /* bytes of an answer that are read before it is an error */
};

/* Where to. */
struct deliver_target {
	char name[DELIVER_NAME_MAX];
	char url[DELIVER_URL_MAX];
	const char *ca; /* PEM to trust instead of the system's; NULL = the system's */
	size_t ca_len;
	struct slice key; /* signs; the owner keeps and wipes it */
};

struct deliver;

/*
 * Is it a URL that secrets may be sent to: https, or http to 127.0.0.1 or [::1]; a host, no user, no
 * password, no fragment? 0, or -EINVAL with what is wrong in *reterr (static).
 */
int deliver_url_check(const char *url, const char **reterr) __must_check;

/* Sends for `targets` (borrowed) out of q (borrowed). 0, -ENOMEM. */
int deliver_new(struct queue *q, const struct deliver_target *targets, unsigned n,
		struct deliver **ret) __must_check;
/* Ends what is under way; it counts as failed. */
struct deliver *deliver_free(struct deliver *d);

/* Begins what is due, moves what is under way, ends what is finished. */
void deliver_run(struct deliver *d);
/* Sleeps at most timeout_ms for the transfers or until one of fds is readable (revents is set). */
struct deliver_fd {
	int fd;
	bool readable;
};
void deliver_wait(struct deliver *d, struct deliver_fd *fds, unsigned n, unsigned timeout_ms);

#endif
