/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How sessions and events that match a query are found. The cheapest index that can answer is
 * chosen to drive: it yields session ids in order, and so do `open` (whose newest events are in no
 * index yet) and, for words, the sessions with more words than the index takes. Everything they
 * yield is checked against the records.
 *
 * A finder works in rounds. A round opens a read transaction, gathers some results into memory and
 * ends it, so that a reader who pauses (a pager, a replay) never keeps the writer from using pages
 * again.
 */
#ifndef WEIR_STORE_FIND_H
#define WEIR_STORE_FIND_H

#include "store_int.h"

enum {
	FIND_RESULTS = 64,     /* gathered in a round */
	FIND_EXAMINED = 16384, /* sessions looked at in a round */
	FIND_EVENTS = 1 << 17, /* events looked at in a round */
	FIND_KEYS = 64,        /* index keys that a glob may stand for before a scan is better */
};

struct find_key {
	uint8_t key[STORE_KEY_MAX];
	size_t len;
};

enum find_source_type { SOURCE_KEY, SOURCE_SESSIONS, SOURCE_OPEN };

struct find_source {
	enum find_source_type type;
	struct find_key key;
	bool loaded, end;
	struct ulid at;
};

struct find_result {
	int err; /* -EBADMSG: this record is damaged */
	struct ulid id;
	uint32_t seq;
	struct slice session, event; /* records, in find.out */
};

struct find {
	struct store *store;
	bool hits;        /* yields events, not sessions */
	struct arena mem; /* the query */
	struct store_query q;
	struct term_word *words;
	struct find_key *event_keys; /* each must have the block of a matching event … */
	size_t n_event_keys;
	size_t n_word_keys; /* … and of these first ones, the block may be an overflow block instead */
	bool on_events; /* the query asks for facts of events */

	struct find_source sources[FIND_KEYS + 2];
	size_t n_sources;
	bool planned, replan; /* replan: new keys may come up while we are at it */

	struct ulid lo, hi; /* ids in question, both inclusive; the scan moves one of them */
	bool done;
	bool in_session; /* hits: the last round ended within session `cur`, at seq `next` */
	struct ulid cur;
	uint32_t next;

	MDB_txn *txn; /* of this round */
	MDB_cursor *index, *session, *open, *event;
	unsigned events_left;
	struct arena scratch; /* records while they are examined */

	struct find_result results[FIND_RESULTS];
	size_t n_results, taken, returned;
	struct arena out;     /* what results point at */
	struct arena decoded; /* what was handed out last */
	struct op op;
};

int find_new(struct store *s, const struct store_query *q, bool hits,
	     struct find **ret) __must_check;
struct find *find_free(struct find *f);
/* 1 with a result that lives until the next call, 0 at the end, or negative. */
int find_next(struct find *f, const struct find_result **ret) __must_check;

/* ---- matching (query.c) ------------------------------------------------------------------- */

/* Copies the query into f->mem and works out the words and keys. */
int find_prepare(struct find *f, const struct store_query *q) __must_check;
/* Chooses the sources. Within a round. */
int find_plan(struct find *f) __must_check;
bool find_session_matches(const struct find *f, const struct store_session *sess);
bool find_event_matches(const struct find *f, const struct store_event *ev);

#endif
