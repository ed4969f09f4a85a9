/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What webhooks say, in two forms. Pure: from what the proxy tells of an operation to bytes. What agents
 * wrote stays data in both: JSON strings, and in Slack's form text elements without markup.
 */
#ifndef WEIR_NOTIFY_BODY_H
#define WEIR_NOTIFY_BODY_H

#include <jansson.h>

#include "base/buf.h"
#include "base/sha256.h"

enum {
	BODY_MAX = 128 * 1024,  /* bytes of one body */
	BODY_STRING_MAX = 8192, /* of one string in it; longer ones are cut, and "cut" says so */
	BODY_SLACK_TEXT_MAX =
		2000, /* of the operation's text in Slack's form; its own limit is 3000 */
	BODY_SIGNATURE_MAX = SHA256_TEXT_MAX + 3,
};

/* An operation begins to wait. */
struct body_held {
	const char *id;
	const json_t *op;  /* the object that describes it; its members are passed on */
	const char *token; /* to answer with; NULL = answers are not taken */
};

/* It waits no more. */
struct body_settled {
	const char *id;
	const char *how;          /* "approved", "denied", "expired", "gone" */
	const char *who, *reason; /* "" = not told */
};

/* All: append one JSON text. 0; -ENOMEM; -EMSGSIZE over BODY_MAX; -EINVAL not UTF-8. */
int body_held_json(const struct body_held *h, struct buf *b) __must_check;
int body_held_slack(const struct body_held *h, struct buf *b) __must_check;
int body_settled_json(const struct body_settled *s, struct buf *b) __must_check;
int body_settled_slack(const struct body_settled *s, struct buf *b) __must_check;

/* "v1=" and the hex of HMAC-SHA256(key, timestamp "." body); timestamp in decimal seconds since 1970.
 * 0; -EINVAL no key; -ENOMEM. */
int body_sign(struct slice key, const char *timestamp, struct slice body,
	      char ret[BODY_SIGNATURE_MAX]) __must_check;

#endif
