/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP handler's state, shared by the files of this folder.
 *
 * Two machines, one per direction, joined by a ring of exchanges: the request machine appends one
 * per judged request, the response machine works on the oldest. A denied request waits in the same
 * ring, so that its refusal comes in order.
 *
 *	request.c	bytes from the client: heads, bodies, what happens on a verdict
 *	response.c	bytes from the server
 *	body.c		bodies of either direction; after an upgrade: WebSocket frames, raw bytes
 *	gather.c	bodies of requests that are judged whole
 *	collect.c	heads, from any chunking
 *	http.c		the class: events, ends, failures
 */
#ifndef WEIR_PROTO_HTTP_STATE_H
#define WEIR_PROTO_HTTP_STATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "chunk.h"
#include "head.h"
#include "proto.h"
#include "ws.h"

enum {
	HTTP_EVENTS = 32, /* ring of events; feed stops taking when it fills */
	HTTP_EVENTS_FULL = 24,
	HTTP_ATTRS = 48,
	HTTP_OBJECTS = 3,      /* path, host, and what the cloud calls it */
	HTTP_FIELDS_MAX = 256, /* header fields of op.headers: memory for a head full of them */
	HTTP_INTERIM_MAX = 64, /* 1xx responses before the final one: notes without end */
	HTTP_REFUSAL_MAX = 8 * 1024,  /* bytes of one refusal */
	HTTP_SWALLOW_MAX = 64 * 1024, /* bytes of a denied request's body that are read and dropped
					 to keep the connection; beyond, it is closed */
	HTTP_TYPE_MAX = 96,           /* bytes kept of Content-Type and reason for RESULT */
};

enum req_state {
	REQ_HEAD,    /* collecting a head */
	REQ_GATHER,  /* a body that is judged with its head: gather.c */
	REQ_JUDGED,  /* the head is an OP that waits for its verdict */
	REQ_BODY,    /* body.c */
	REQ_SWALLOW, /* a denied request's body */
	REQ_HELD,    /* behind an Upgrade or CONNECT: nothing is taken until its answer */
	REQ_LAST,    /* the client said that no request follows */
	REQ_FAILED,  /* a malformed request waits for the responses before it */
	REQ_RELAY,   /* upgraded */
};

enum resp_state {
	RESP_HEAD,
	RESP_BODY,   /* body.c */
	RESP_DONE,   /* answered before the request's body was through */
	RESP_OPAQUE, /* a positive answer to an upgrade waits for decide */
	RESP_RELAY,
};

enum body_form {
	BODY_NONE,
	BODY_LENGTH,
	BODY_CHUNKED,
	BODY_TRAILER, /* behind the last chunk */
	BODY_CLOSE,   /* until the server closes */
};

struct exchange {
	uint64_t op_id;
	uint64_t bytes[2];  /* content bytes by direction; after an upgrade raw bytes */
	size_t recorded[2]; /* of limits.record_max */
	unsigned status;    /* 0 = not answered */
	unsigned interim;   /* 1xx so far */
	bool head, connect, websocket, upgrade;
	bool req_done;  /* the request is through */
	bool started;   /* a byte of its final response went to the client */
	bool denied;    /* h->refusal is its answer */
	bool last;      /* the connection ends with it */
	bool complete;  /* its answer came to its end */
	bool continued; /* 100 was sent in the server's place: one of the server's is dropped */
};

struct answer { /* of the exchange that is being answered, for RESULT */
	char type[HTTP_TYPE_MAX], reason[HTTP_TYPE_MAX];
	uint8_t type_len, reason_len;
	unsigned n_headers;
};

struct http_event {
	enum proto_event_type type;
	enum dir dir;
	unsigned status;
	uint64_t op_id;
	uint64_t at; /* DATA: offset in the direction's output stream */
	size_t len;
	bool held; /* DATA: the gathered content, not the output */
	const char *text;
};

enum http_body_kind {
	BODY_OTHER, /* not looked at */
	BODY_JSON,
	BODY_FORM,
	BODY_GRAPHQL, /* application/graphql: the document itself */
	BODY_MAYBE,   /* text/plain or no type: JSON when its first character says so */
};

/* A request's body that is taken whole before its operation is given. */
struct gather {
	enum http_body_kind kind;
	bool active;       /* head and body of the operation that waits lie here */
	bool complete;     /* the body is here to its end */
	bool released;     /* allowed: wire goes out when the output before it is through */
	bool continue_due; /* the client waits for 100, and answers come before it */
	bool continued;
	struct buf head;
	struct buf wire;    /* as sent, framing included */
	struct buf content; /* without framing, when that is chunked; else wire is the content */
	struct buf plain;   /* without content coding, when there is one */
	uint64_t content_len;
	size_t blank; /* BODY_MAYBE: white space at its beginning */
};

struct side {
	uint64_t offset; /* stream offset of the next byte to be taken */
	struct buf head; /* a head or trailer section being collected, or one that waits */
	size_t lead;     /* bytes of empty lines before the head */
	size_t lines;    /* lines in head */
	size_t line;     /* where the current line begins in head */
	enum body_form form;
	uint64_t left; /* body bytes to come, of BODY_LENGTH or a swallowed body */
	struct chunk chunk;
	struct ws ws;
	struct buf out;
	uint64_t drained; /* bytes of output ever consumed */
	bool eof;
};

struct http {
	struct proto base;
	struct proto_limits lim;
	enum req_state req;
	enum resp_state resp;
	struct side side[2];
	/* the ring of exchanges */
	struct exchange *ring;
	unsigned ring_cap, ring_first, ring_n;
	struct answer answer;
	/* the operation that waits for its verdict, or was given last */
	struct op op;
	struct op_attr attrs[HTTP_ATTRS];
	struct op_object objects[HTTP_OBJECTS];
	struct arena arena;      /* of the head's facts */
	struct arena body_arena; /* of the body's */
	struct http_head head;
	struct http_fields fields;
	struct gather gather;
	struct slice path, host_text; /* normalised; in lower case, without port */
	unsigned host_port;           /* 0 = none given */
	/* whom the connection goes to */
	bool peer_told;
	struct addr peer;
	char *peer_names; /* one after the other, each ended by NUL; an empty one ends them */
	uint64_t last_id;
	bool opaque_asked; /* OPAQUE was given and waits */
	/* the refusal that waits for its place in the order of responses */
	struct buf refusal;
	/* events */
	struct http_event events[HTTP_EVENTS];
	unsigned ev_first, ev_n;
	struct exchange result; /* of the one RESULT that may be queued */
	struct answer result_answer;
	struct op_attr result_attrs[12];
	bool result_queued;
	/* the end */
	bool ending, ended;
	int deferred; /* becomes error when the responses before it are through */
	int error;    /* sticky */
	struct parse_err err;
};

static inline struct http *http_of(const struct proto *p)
{
	return container_of(p, struct http, base);
}

static inline struct exchange *exchange_at(struct http *h, unsigned i)
{
	return &h->ring[(h->ring_first + i) & (h->ring_cap - 1)];
}

static inline struct exchange *exchange_first(struct http *h)
{
	return h->ring_n ? exchange_at(h, 0) : NULL;
}

static inline struct exchange *exchange_last(struct http *h)
{
	return h->ring_n ? exchange_at(h, h->ring_n - 1) : NULL;
}

/* Room for one more event and for output on both sides: else feed takes nothing that could make
 * more of either. */
static inline bool http_may_begin(const struct http *h)
{
	return h->ev_n < HTTP_EVENTS_FULL && !h->result_queued &&
	       buf_len(&h->side[0].out) < h->lim.out_max &&
	       buf_len(&h->side[1].out) < h->lim.out_max;
}

/* http.c */
void http_event_push(struct http *h, struct http_event ev);
/* A fault of direction d, f->at bytes behind base: native last words if some fit. Returns the sticky
 * error; or 0 when responses that are due come first: then nothing more is taken from the client,
 * and the error is given behind the last of them. */
int http_fail(struct http *h, enum dir d, uint64_t base, const struct http_fault *f) __must_check;
int http_fail_nomem(struct http *h, enum dir d) __must_check;
/* A new exchange at the end of the ring, or NULL without memory. */
struct exchange *http_exchange_push(struct http *h) __must_check;
/* The oldest exchange is answered: RESULT, and whatever its end brings. 0 or the sticky error. */
int http_exchange_pop(struct http *h) __must_check;
/* Writes the refusal that waits, if its turn has come. 0 or the sticky error. */
int http_refusal_flush(struct http *h) __must_check;

/* collect.c: takes a head (or trailer section) from in, line by line. 1: complete, all of it is in
 * side.head; 0: more is needed; negative: *reterr, with at relative to side.offset as it was.
 * *ret_used is always set, and side.offset moved by it. */
int http_collect(struct http *h, enum dir d, bool trailer, struct slice in, size_t *ret_used,
		 struct http_fault *reterr) __must_check;
void http_collect_reset(struct side *s);

/* body.c: the form that a head announces, on s. no_body: by the rules of responses. */
void http_body_begin(struct side *s, const struct http_head *q, bool no_body, bool until_close);
/* One step of a body of exchange x. 2: the body is through; 1: go on; 0: nothing more can be taken
 * now; negative: sticky error. */
int http_body_step(struct http *h, enum dir d, struct exchange *x, struct slice in,
		   size_t *ret_used) __must_check;
int http_relay_step(struct http *h, enum dir d, struct slice in, size_t *ret_used) __must_check;

/* op.c: the operation for h->head, whose bytes are in the client side's head buffer; h->arena holds
 * h->fields. 0, or a negative errno with *reterr. */
int http_op_build(struct http *h, struct http_fault *reterr) __must_check;
void http_op_attr_text(struct http *h, const char *key, struct slice s);
void http_op_attr_int(struct http *h, const char *key, int64_t i);
void http_op_attr_bool(struct http *h, const char *key, bool b);
/* facts.c: what head and body say together, put into the operation. 0 or -ENOMEM. */
int http_op_finish(struct http *h) __must_check;

/* gather.c: does the request in h->head have a body that is to be gathered? Then its head was moved
 * to h->gather, and http_gather_step takes the body. */
bool http_gather_begin(struct http *h);
/* As http_body_step; 2: all that was to be gathered is here. */
int http_gather_step(struct http *h, struct slice in, size_t *ret_used) __must_check;
/* Tells the client to go on when it waits for that and its turn has come. 0 or sticky error. */
int http_gather_continue(struct http *h) __must_check;
/* The content that was gathered, without framing. */
struct slice http_gather_content(const struct http *h);
/* Drops what was gathered, unless it is on its way out. */
void http_gather_reset(struct http *h);

/* refuse.c: a complete response with a JSON body ("rule" only when not NULL) is appended to b. head:
 * the body is left out. 0, -EMSGSIZE, -ENOMEM. */
int http_refuse(struct buf *b, unsigned status, const char *error, const char *rule,
		const char *message, bool head, bool close) __must_check;

/* request.c, response.c: one step of a machine on in. Takes *ret_used bytes. 1: go on; 0: nothing
 * more can be taken now, or an end was reached; negative: sticky error. */
int http_request_step(struct http *h, struct slice in, size_t *ret_used) __must_check;
int http_request_eof(struct http *h) __must_check;
/* The verdict on the operation that waits. 0 or a negative errno as proto_class.decide. */
int http_request_decide(struct http *h, const struct verdict *v) __must_check;
/* What the request machine does behind an upgrade that was refused, or a request that is through. */
void http_request_resume(struct http *h, const struct exchange *x);
int http_response_step(struct http *h, struct slice in, size_t *ret_used) __must_check;
int http_response_eof(struct http *h) __must_check;
/* The verdict on OPAQUE. */
int http_response_decide(struct http *h, const struct verdict *v) __must_check;

#endif
