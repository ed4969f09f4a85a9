/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share. The flow of a client message:
 *
 *   frontend.c  frames it; streams CopyData and passwords; hands the rest over whole
 *   startup.c, query.c   read it and say what has to be judged
 *   judge.c     makes one operation after the other, waits for each verdict, then forwards the
 *               message or its harmless substitute (refuse.c)
 *   pending.c   remembers which answers must come
 *   prepared.c  remembers statements and portals by name
 *
 * and of a server message: backend.c frames it and matches it with pending.c, rows.c makes the
 * readable record of rows, events.c queues what the session is told.
 */
#ifndef WEIR_PG_INTERNAL_H
#define WEIR_PG_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/list.h"
#include "pg.h"
#include "read.h"
#include "sql.h"

enum {
	PG_STARTUP_MIN = 8,
	PG_STARTUP_MAX = 10000,      /* the server's MAX_STARTUP_PACKET_LENGTH */
	PG_MESSAGE_MAX = 0x40000000, /* the server takes nothing larger than 1 GiB */
	PG_SMALL_MAX = 10000,        /* the server's bound for messages without data */
	PG_AUTH_MAX = 65535,         /* of a password or SASL message, as in the server */
	PG_NAME_MAX = 63,    /* the server compares names of statements by that many bytes */
	PG_NAMES_MAX = 8192, /* names remembered: a client that prepares without end */
	PG_PORTALS_MAX = 1024,
	PG_COLUMNS_MAX = 1664, /* the server's MaxTupleAttributeNumber */
	PG_ARENA_KEEP = 8192,  /* an arena that held more gives it back */
};

enum {
	PG_CODE_CANCEL = 80877102,
	PG_CODE_SSL = 80877103,
	PG_CODE_GSSENC = 80877104,
};

enum pg_phase {
	PG_PHASE_START,  /* the client's first packet is not decided yet */
	PG_PHASE_RUN,    /* startup went to the server */
	PG_PHASE_CANCEL, /* a cancel request went to the server, nothing else will */
	PG_PHASE_RELAY,  /* opaque by permission */
	PG_PHASE_DONE,   /* END was said: what still comes is dropped */
};

/* ---- statements and portals by name (prepared.c) ------------------------------------------------ */

struct pg_name {
	struct list_node node;     /* in pg_names.all, the least recently used first */
	struct pg_name *next;      /* in its bucket */
	struct list_node versions; /* struct pg_prep, oldest first */
	bool tainted; /* SQL's own PREPARE, or a name too long to be told from others, may have
			 put another statement here: whatever is bound is OP_UNKNOWN as well */
	uint64_t hash;
	size_t len;
	uint8_t bytes[];
};

/*
 * What one Parse put under a name. Until ParseComplete it is one candidate among several: the Parse
 * may fail, or be skipped, and an older statement stays in force.
 */
struct pg_prep {
	struct list_node node; /* in name->versions; in no list when replaced */
	unsigned refs;
	struct pg_name *name; /* NULL when replaced */
	bool confirmed;
	uint64_t batch; /* the run between two Syncs it was sent in */
	uint64_t seq;   /* of its Parse among all that was forwarded */
	const struct pg_facts *facts;
	struct slice text; /* cut at limits.text_max */
	size_t full_len;
	uint32_t *oids; /* of the parameters, 0 = not known */
	size_t n_oids;
	size_t cost; /* bytes charged to pg_names.bytes */
	uint8_t bytes[];
};

struct pg_names {
	struct pg_name **buckets;
	size_t n_buckets; /* a power of two, or 0 */
	struct list_node all;
	size_t count, bytes;
	bool all_tainted; /* more tainted names than can be remembered */
};

struct pg_portal {
	struct list_node node;
	unsigned refs;
	uint64_t op;     /* whose results come out of it */
	uint64_t seq;    /* of the Bind */
	size_t recorded; /* bytes of DATA so far */
	bool risky, copy_in;
	bool answered;      /* a RESULT was given */
	uint16_t n_formats; /* of the result columns: 0 = all text, 1 = that one for all */
	uint16_t cap_formats;
	uint8_t *formats;
	size_t len;
	uint8_t name[PG_NAME_MAX];
};

/* ---- answers that must come (pending.c) --------------------------------------------------------- */

enum pg_pend_kind {
	PG_PEND_STARTUP,
	PG_PEND_QUERY,
	PG_PEND_PARSE,
	PG_PEND_BIND,
	PG_PEND_DESCRIBE_STMT,
	PG_PEND_DESCRIBE_PORTAL,
	PG_PEND_EXECUTE,
	PG_PEND_CLOSE,
	PG_PEND_SYNC,
	PG_PEND_CALL,     /* FunctionCall */
	PG_PEND_COPY_END, /* CopyDone or CopyFail sent before the server asked for data */
};

struct pg_pend {
	enum pg_pend_kind kind;
	bool answered; /* something came that must come before ReadyForQuery */
	bool failed;
	bool described; /* ParameterDescription came */
	bool copy_in;   /* a COPY … FROM STDIN is in it */
	uint64_t seq;
	uint64_t op; /* the first operation of the message */
	uint32_t n_ops, done;
	uint64_t rows, bytes;
	size_t recorded;          /* bytes of DATA for the present operation */
	struct pg_prep *prep;     /* PARSE, BIND, DESCRIBE_STMT; a reference */
	struct pg_portal *portal; /* EXECUTE, DESCRIBE_PORTAL; a reference */
	struct pg_portal *bound;
	uint8_t *refusal; /* not NULL: a substitute went out, its ErrorResponse becomes this */
	size_t refusal_len;
	uint8_t close_len;
	uint8_t close_name[PG_NAME_MAX];
};

/* ---- what waits for a verdict (judge.c) --------------------------------------------------------- */

enum pg_work_kind {
	PG_WORK_NONE,
	PG_WORK_STARTUP,
	PG_WORK_CANCEL,
	PG_WORK_QUERY,
	PG_WORK_PARSE,
	PG_WORK_BIND,
	PG_WORK_EXECUTE, /* of a portal that no Bind made: a cursor of DECLARE */
	PG_WORK_CALL,
};

/* One text that the message may run, and where its facts come from. */
struct pg_candidate {
	const struct pg_facts *facts; /* NULL: nothing is known */
	struct pg_prep *prep;         /* BIND: a reference; NULL: the name is not known */
	struct slice text;            /* the whole string */
	size_t full_len;
};

struct pg_work {
	enum pg_work_kind kind;
	struct pg_candidate *cands; /* in work_arena, each with a reference to its facts */
	size_t n_cands, cand, stmt;
	uint64_t first_op;
	uint32_t n_ops;
	uint32_t add_effects; /* for each of the operations */
	bool tainted;
	struct slice name;   /* of the statement: PARSE, BIND, EXECUTE: the portal */
	struct slice portal; /* BIND */
	const struct op_param *params;
	size_t n_params;
	uint32_t *oids; /* PARSE */
	size_t n_oids;
	struct pg_reader formats; /* BIND: the result formats, as sent */
	uint16_t n_formats;
	/* STARTUP, CANCEL, CALL: the one operation, ready-made */
	const char *verb;
	uint32_t effects;
	struct op_object objects[2];
	size_t n_objects;
	struct op_attr attrs[8];
	size_t n_attrs;
	struct slice text;
};

/* ---- the record of rows (rows.c) ---------------------------------------------------------------- */

struct pg_row {
	enum { PG_ROW_COUNT, PG_ROW_LEN, PG_ROW_CELL, PG_ROW_END } state;
	unsigned n_cols, col;
	uint32_t left; /* of the cell */
	uint8_t tmp[4];
	unsigned n_tmp;
	bool binary;
};

/* ---- events (events.c) -------------------------------------------------------------------------- */

struct pg_event {
	struct proto_event e;
	size_t data_at; /* DATA: where in pg.data */
};

struct pg_shared {
	struct pg_sql *sql;
	struct hash_key key;
};

/* What the server says about how it reads text. */
struct pg_lexing {
	bool strings_known, strings_standard;
	bool encoding_known, encoding_safe, encoding_utf8;
	bool ever_unsafe;  /* something was unusual once: a ROLLBACK may bring it back */
	uint64_t risk_seq; /* the newest message that may change any of it; 0 = settled */
};

struct pg {
	struct proto proto;
	struct proto_limits lim;
	struct pg_shared *shared;
	enum pg_phase phase;
	int error;
	struct parse_err why;
	struct buf out[2];
	uint64_t offset[2]; /* bytes taken of each direction's stream */
	uint64_t next_op;

	/* from the client */
	struct buf fmsg;  /* the message being gathered, or held for its verdict */
	uint64_t fmsg_at; /* its offset */
	size_t fleft;     /* of a streamed message */
	bool fdrop;       /* and it goes nowhere */
	uint8_t ftype;    /* of that */
	bool ssl_asked, gss_asked, plain_answer; /* the 'N' is in the output */
	bool terminated, fatal;
	bool replication, authenticated;
	struct pg_work work;
	struct op op;
	const struct pg_facts *op_facts; /* of one statement of several, for its normal form */
	struct arena work_arena, op_arena;
	uint64_t batch;
	uint64_t seq; /* of what was forwarded and has an answer */

	/* what must come back */
	struct pg_pend *pend; /* a ring */
	size_t pend_cap, pend_head, pend_count;
	bool skipping; /* the server ignores everything up to Sync */
	bool doomed;   /* a message of this run was refused: the rest up to Sync is dropped here,
			since the server would ignore it */
	unsigned maybe_sync;    /* Syncs that the server may or may not have swallowed in COPY */
	uint64_t maybe_seq;     /* all later messages are answered behind those Syncs */
	bool copy_in, copy_out; /* in CopyData mode, as seen from here */
	uint64_t copy_op;       /* whose CopyData the client sends */
	size_t copy_recorded;
	uint64_t data_op; /* CopyData sent ahead of the server's answer; 0 = none expected */
	struct pg_names names;
	struct list_node portals; /* the least recently bound first */
	size_t n_portals;
	struct list_node spare_portals;
	unsigned n_spares;
	struct pg_lexing lexing;
	const char *auth; /* method asked for */

	/* from the server */
	struct buf bmsg;  /* the message being gathered, or held (CopyBothResponse) */
	uint64_t bmsg_at; /* its offset */
	size_t bleft;     /* of a streamed message */
	uint8_t btype;
	uint64_t opaque_op; /* waits for its verdict; 0 = none */
	uint64_t relay_op;
	size_t relay_recorded[2];
	struct pg_row row;
	bool row_recorded;
	uint8_t *formats; /* of the present rows' columns */
	size_t n_formats, cap_formats;

	/* what the session is told */
	struct pg_event *events; /* a ring */
	size_t ev_cap, ev_head, ev_count;
	struct arena ev_arena; /* attributes */
	struct buf data;       /* bytes of DATA events */
	size_t extra; /* bytes recorded of what a server may say without end, since operation … */
	uint64_t extra_op;
	bool ended;
};

static inline struct pg *pg_of(struct proto *p)
{
	return container_of(p, struct pg, proto);
}

/* events.c: all 0, -ENOMEM or -EMSGSIZE. */
void pg_events_recycle(struct pg *p); /* gives memory back when all were taken */
int pg_events_next(struct pg *p, struct proto_event *ret);
int pg_event_push(struct pg *p, const struct proto_event *e) __must_check;
/* Whether the record still has room for something that a server may send any number of times: up to
 * record_max bytes between two operations. Takes that room. */
bool pg_event_afford(struct pg *p, size_t len);
/* attrs and the text in them are copied. A NOTE for which there is no room any more is left out. */
int pg_event_attrs(struct pg *p, enum proto_event_type type, uint64_t op, const char *text,
		   bool failed, const struct op_attr *attrs, size_t n) __must_check;
/* As much of s as *recorded leaves under limits.record_max; joined with what came before. */
int pg_event_data(struct pg *p, uint64_t op, enum dir d, struct slice s,
		  size_t *recorded) __must_check;
int pg_event_end(struct pg *p) __must_check;
static inline struct op_attr pg_attr_text(const char *key, struct slice s)
{
	return (struct op_attr){ .key = key, .type = OP_ATTR_TEXT, .s = s };
}
static inline struct op_attr pg_attr_int(const char *key, int64_t i)
{
	return (struct op_attr){ .key = key, .type = OP_ATTR_INT, .i = i };
}
static inline struct op_attr pg_attr_bool(const char *key, bool b)
{
	return (struct op_attr){ .key = key, .type = OP_ATTR_BOOL, .b = b };
}

/* refuse.c */
/*
 * Makes error sticky and says it to the client where that is possible: a FATAL ErrorResponse with
 * sqlstate, unless the client is in the middle of a message. Returns error. rule and spec static.
 */
int pg_fail(struct pg *p, int error, enum dir d, uint64_t at, const char *rule, const char *spec,
	    const char *sqlstate);
/* Malformed: 08P01. */
int pg_malformed(struct pg *p, enum dir d, uint64_t at, const char *rule, const char *spec);
/* -ENOMEM, without words. */
int pg_oom(struct pg *p, enum dir d);
/* One ErrorResponse into b. detail and hint may be NULL. */
int pg_error_put(const struct pg *p, struct buf *b, const char *severity, const char *sqlstate,
		 const char *message, const char *hint) __must_check;
/* The ErrorResponse of a denial, on the heap. */
int pg_refusal_new(const struct pg *p, const char *severity, const struct verdict *v, uint8_t **ret,
		   size_t *ret_len) __must_check;
/* The message that must fail at the server in place of the denied one. */
int pg_substitute_put(struct buf *out, bool extended) __must_check;
/* proto_class.notice. */
int pg_notice(struct proto *proto, const char *text);
void pg_abort(struct proto *proto, unsigned status, const char *message);
bool pg_client_at_boundary(const struct pg *p);

/* params.c */
/*
 * A parameter as text: text format as it is, borrowed; binary of the common types decoded into the
 * arena; else "\x…" hex. At most max bytes. 0 or -ENOMEM.
 */
int pg_param_text(struct arena *a, uint32_t oid, bool binary, struct slice value, size_t max,
		  struct slice *ret) __must_check;

/* startup.c: the packet in fmsg is whole. */
enum proto_sniff pg_sniff(struct slice head);
int pg_startup_packet(struct pg *p) __must_check;

/* query.c: the message in fmsg is whole. */
int pg_query_message(struct pg *p, uint8_t type, struct slice body) __must_check;

/* frontend.c, backend.c */
int pg_frontend_feed(struct pg *p, struct slice in, size_t *ret_used) __must_check;
int pg_backend_feed(struct pg *p, struct slice in, size_t *ret_used) __must_check;
/* The verdict on CopyBothResponse. */
int pg_opaque_decide(struct pg *p, const struct verdict *v) __must_check;

/* judge.c */
struct pg_candidate *pg_work_candidates(struct pg *p, size_t n) __must_check; /* NULL: no memory */
int pg_work_begin(struct pg *p) __must_check; /* p->work is filled in */
void pg_work_done(struct pg *p);
int pg_work_decide(struct pg *p, const struct verdict *v) __must_check;
struct pg_sql_mode pg_lexing_mode(const struct pg *p, struct slice text);

/* prepared.c */
void pg_names_init(struct pg *p);
void pg_names_done(struct pg *p);
int pg_prep_new(struct pg *p, const struct pg_work *w, struct pg_prep **ret) __must_check;
void pg_prep_unref(struct pg *p, struct pg_prep *s);
void pg_prep_confirm(struct pg *p, struct pg_prep *s); /* ParseComplete */
void pg_prep_drop(struct pg *p, struct pg_prep *s);    /* failed, skipped */
int pg_prep_set_oids(struct pg *p, struct pg_prep *s, struct slice be32s) __must_check;
struct pg_name *pg_name_find(struct pg *p, struct slice name);
void pg_name_closed(struct pg *p, struct slice name, uint64_t seq); /* CloseComplete */
void pg_names_forget_confirmed(struct pg *p, uint64_t seq); /* DEALLOCATE ALL, DISCARD ALL */
/* SQL's PREPARE of that name (empty: of any) may run from now on. */
int pg_name_taint(struct pg *p, struct slice name) __must_check;
void pg_names_trim(struct pg *p);
int pg_portal_bind(struct pg *p, const struct pg_work *w, struct pg_portal **ret) __must_check;
struct pg_portal *pg_portal_find(struct pg *p, struct slice name);
void pg_portal_unref(struct pg *p, struct pg_portal *o);
void pg_portals_end(struct pg *p,
		    uint64_t seq); /* the transaction of those bound before seq ended */
void pg_portal_forget(struct pg *p, struct pg_portal *o);

/* pending.c */
/* Room for one more; zeroed, with its seq. NULL without memory. */
struct pg_pend *pg_pend_push(struct pg *p, enum pg_pend_kind kind) __must_check;
static inline struct pg_pend *pg_pend_at(const struct pg *p, size_t i)
{
	return &p->pend[(p->pend_head + i) & (p->pend_cap - 1)];
}
struct pg_pend *pg_pend_head(struct pg *p); /* NULL when nothing is expected */
void pg_pend_pop(struct pg *p);
/* A Sync was sent that the server ignores when it still reads CopyData. */
void pg_sync_maybe(struct pg *p);
int pg_pend_skip_to_sync(struct pg *p) __must_check; /* after an error of the extended protocol */
void pg_pend_done(struct pg *p);
/* RESULT failed, skipped, for operations first … first+n-1. */
int pg_result_skipped(struct pg *p, uint64_t first, uint64_t n) __must_check;

/* rows.c */
int pg_row_header(struct pg *p, struct slice body, uint64_t op, size_t *recorded) __must_check;
void pg_row_begin(struct pg *p);
/* A piece of a row's body; *bytes moves on, to the offending byte when it fails. */
int pg_row_feed(struct pg *p, struct slice *bytes, uint64_t op, size_t *recorded) __must_check;
bool pg_row_whole(const struct pg *p);

#endif
