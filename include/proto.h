/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every protocol handler is: a machine without descriptors, clocks, threads, globals or logs.
 * It is fed the bytes of each direction and yields events and bytes. The one who drives it is
 * session/; the promises it must keep are checked by tests/support/proto_harness.h:
 *
 *  1. Split invariance: any chunking, down to single bytes, gives the same output and the same
 *     events (adjacent DATA of one operation joined).
 *  2. Transparency: all allowed means output equals input, byte for byte.
 *  3. Hold: no byte of an undecided or denied operation reaches the server.
 *  4. Native refusal: a denial is an error that the client understands; the stream stays in sync
 *     or ends.
 *  5. Bounds: memory stays within the limits, time is linear; excess is -EMSGSIZE.
 *  6. Sticky failure: after an error, feed repeats it; pending output is still drained.
 *  7. Clean upgrade: bytes already buffered behind a request to encrypt came in the clear: refused.
 *
 * A driver's turn: feed what was read; pull events with next until it returns 0, answering each OP
 * and OPAQUE with decide (now or later); feed the rest again if bytes were left and a decision was
 * made; then write peek_out of both directions and consume_out what went through.
 */
#ifndef WEIR_PROTO_H
#define WEIR_PROTO_H

#include "base/addr.h"
#include "op.h"

enum dir { DIR_TO_SERVER, DIR_TO_CLIENT };

static inline enum dir dir_other(enum dir d)
{
	return d == DIR_TO_SERVER ? DIR_TO_CLIENT : DIR_TO_SERVER;
}

enum proto_sniff { SNIFF_NO, SNIFF_YES, SNIFF_MORE };

/* What one session may cost. Each limit names the attack that it stops. */
struct proto_limits {
	size_t head_max;    /* bytes of one HTTP head or startup packet: unbounded buffering */
	size_t message_max; /* bytes of one message that must be seen whole (a SQL text, a Bind):
				declared lengths of 1 GiB */
	size_t text_max;    /* bytes of op.text and of one parameter kept for the record */
	size_t record_max;  /* bytes of DATA events per operation and direction: filling the disk */
	size_t out_max;     /* bytes of output a direction may pile up before feed stops taking
				input: a peer that never reads */
	unsigned queue_max; /* operations begun and not answered: pipelining without end */
	size_t body_max;    /* bytes of a request's body that is held back whole to be judged with
				its operation: memory, and a client that waits for its own answer.
				0: bodies are not looked at, which a driver says when no rule could
				want them */
};
#define PROTO_LIMITS_DEFAULT                                     \
	((struct proto_limits){ .head_max = 64 * 1024,           \
				.message_max = 16 * 1024 * 1024, \
				.text_max = 64 * 1024,           \
				.record_max = 64 * 1024,         \
				.out_max = 256 * 1024,           \
				.queue_max = 1024,               \
				.body_max = 1024 * 1024 })

/* Whom the connection really goes to: what a client says about it is checked against this. */
struct proto_peer {
	struct addr addr;
	const struct slice *names; /* by which the driver knows that address */
	size_t n_names;
};

/* Why bytes did not parse. Static strings only, so it can be kept. */
struct parse_err {
	enum dir dir;
	uint64_t offset;  /* into that direction's stream */
	const char *rule; /* what was broken: "both Content-Length and Transfer-Encoding" */
	const char *spec; /* where it is written: "RFC 9112 §6.3" */
};

enum proto_event_type {
	PROTO_OP,   /* an operation: waits for decide(op.id) */
	PROTO_DATA, /* bytes that belong to operation op_id, for the record: a request body, rows, a
			 response body. Decided already; cut off at limits.record_max. Consecutive DATA
			 of one (op_id, dir) are pieces of one stream */
	PROTO_RESULT, /* operation op_id is answered: attrs say how (status, tag, rows, bytes…) */
	PROTO_NOTE, /* a fact about the session for the record, as attrs: server version, a notice,
			 a parameter's new value, "op 7 was answered by an upgrade" */
	PROTO_OPAQUE, /* what follows cannot be understood: waits for decide(op_id); allow relays raw
			 bytes in both directions from here on, anything else ends the session. text
			 says why */
	PROTO_END,    /* the protocol is over; drain output and close */
};

/* Borrowed until the next call that changes the handler; an OP's op until its decide. */
struct proto_event {
	enum proto_event_type type;
	uint64_t op_id;              /* DATA, RESULT, OPAQUE; NOTE: 0 = the session as a whole */
	const struct op *op;         /* OP */
	enum dir dir;                /* DATA */
	struct slice data;           /* DATA */
	const char *text;            /* OPAQUE, NOTE: static; what happened */
	const struct op_attr *attrs; /* RESULT, NOTE */
	size_t n_attrs;
	bool failed; /* RESULT: the server answered with an error */
};

struct proto;
struct proto_shared; /* per worker thread, shared by that class's handlers: caches */

struct proto_class {
	const char *name; /* as policies write it: "postgres", "http", "tcp" */

	/* Whose bytes are these? head is what the client sent so far, at least one byte. NULL: never
	 * sniffed. SNIFF_MORE is answered with more bytes, at most 64 of them. */
	enum proto_sniff (*sniff)(struct slice head);

	/* Caches that all handlers of one thread share. Both may be NULL. 0 or -ENOMEM. */
	int (*shared_new)(struct proto_shared **ret);
	struct proto_shared *(*shared_free)(struct proto_shared *s);

	/* A handler for one connection; lim is copied. 0 or -ENOMEM. */
	int (*create)(const struct proto_limits *lim, struct proto_shared *shared,
		      struct proto **ret);

	/* Says whom the connection goes to, before the first feed; copied. May be NULL. Without it a
	 * handler claims nothing about it. 0 or -ENOMEM. */
	int (*tell_peer)(struct proto *p, const struct proto_peer *peer);

	/*
	 * Takes bytes that came *from* the other end of direction d (DIR_TO_SERVER: the client sent
	 * them). *ret_used < in.len only when the handler waits for a verdict or its output is full
	 * (limits.out_max); the driver offers the rest again after decide or consume_out (of either
	 * direction: what a client sends behind an upgrade waits for the server's answer).
	 * 0, or a sticky error: -EBADMSG malformed, -EPROTO legal in itself but not now,
	 * -EMSGSIZE over a limit, -EOPNOTSUPP understood and refused, -ENOMEM. *reterr is then set, and
	 * native last words for the client may be waiting in peek_out(DIR_TO_CLIENT).
	 */
	int (*feed)(struct proto *p, enum dir d, struct slice in, size_t *ret_used,
		    struct parse_err *reterr);

	/* The sender of direction d will send no more. Errors as feed (a message cut short is
	 * -EBADMSG). Called once a direction, after all its bytes were used. */
	int (*eof)(struct proto *p, enum dir d, struct parse_err *reterr);

	/* The oldest event: 1, or 0 when there is none. */
	int (*next)(struct proto *p, struct proto_event *ret);

	/*
	 * Answers an OP or OPAQUE that next has given. ALLOW lets its bytes go; anything else denies it
	 * with v's rule and message. v is not kept. 0; -EPROTO for an id that waits for nothing;
	 * -ENOMEM or -EMSGSIZE when the refusal could not be written (the session must end).
	 */
	int (*decide)(struct proto *p, uint64_t op_id, const struct verdict *v);

	/*
	 * The session must end for a reason of Weir's own (no upstream, store full, a limit in time):
	 * queues a native error for the client where the protocol has one that fits the moment, then
	 * END. status is an HTTP-like class: 403 refused by policy, 502 upstream unreachable, 503 Weir
	 * cannot record, 504 upstream timed out. message is copied. Nothing more goes to the server.
	 */
	void (*abort)(struct proto *p, unsigned status, const char *message);

	/*
	 * Tells the client something while it waits, beside the protocol's answers. May be NULL: there
	 * is no way. 1 it will be told; 0 not at this moment (in the middle of a message, before the
	 * session stands): nothing was changed; -ENOMEM. text is copied and made fit to be shown.
	 */
	int (*notice)(struct proto *p, const char *text);

	/* Output of a direction, DIR_TO_SERVER = to be written to the server. Borrowed until the next
	 * call that changes the handler. Nothing of an undecided operation is ever in it. */
	struct slice (*peek_out)(const struct proto *p, enum dir d);
	void (*consume_out)(struct proto *p, enum dir d, size_t n);

	struct proto *(*free)(struct proto *p); /* NULL is fine; returns NULL */
};

/* Every handler's struct begins with this. */
struct proto {
	const struct proto_class *class;
};

#define PROTO_CLEANUP _cleanup_(proto_free_p)
static inline void proto_free_p(struct proto **p)
{
	if (*p)
		*p = (*p)->class->free(*p);
}

#endif
