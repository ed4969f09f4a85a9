/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the store: databases, keys, the record codec, the tokenizer.
 *
 * index is one tree of fixed-size duplicates: kind ‖ value → (ulid ‖ block)*, where a block is
 * STORE_BLOCK events of a session. Session facts are in block 0; event facts in the block of their
 * event. So a fact costs 20 bytes a block however often it is repeated there, and a reader goes
 * from it to at most STORE_BLOCK events, which it then checks one by one: the index only ever
 * narrows down, what decides is the record.
 */
#ifndef WEIR_STORE_INT_H
#define WEIR_STORE_INT_H

#include <lmdb.h>
#include <pthread.h>

#include "base/arena.h"
#include "base/hash.h"
#include "journal.h"
#include "store.h"

enum store_db { DB_META, DB_SESSION, DB_EVENT, DB_OPEN, DB_INDEX, DB_POLICY, DB_COUNT };

enum {
	STORE_LAYOUT = 1,
	STORE_BLOCK = 1024,      /* events */
	STORE_EVENT_KEY = 20,    /* ulid ‖ seq, big-endian */
	STORE_POSTING = 20,      /* ulid ‖ block, big-endian */
	STORE_VALUE_WHOLE = 191, /* longest value that an index key holds as it is */
	STORE_VALUE_HEAD = 192,  /* of a longer one, followed by its hash */
	STORE_KEY_MAX = 1 + STORE_VALUE_HEAD + 8,
	STORE_TERM_MAX = 32,        /* bytes of a word in the index; longer ones: their head */
	STORE_TERMS_MAX = 512,      /* distinct words of one event; more: kind 'o' */
	STORE_DATA_MAX = 16 << 20,  /* of one DATA event */
	STORE_BATCH_MAX = 64 << 20, /* of one turn */
	STORE_COMPRESS_MIN = 2048,  /* DATA from here on is compressed when that helps */
	STORE_DIRTY_MAX = 4096,     /* sessions that the index thread knows to have news */
};
#define STORE_TIME_SLACK_NS (60 * 1000000000ULL) /* between a session's id and its start */

enum store_kind {
	KIND_CGROUP = 'c',
	KIND_CGROUP_ID = 'i',
	KIND_CONTAINER = 'k',
	KIND_TARGET = 't',
	KIND_VERDICT = 'v',
	KIND_RULE = 'r',
	KIND_FINGERPRINT = 'f',
	KIND_WORD = 'w',
	KIND_OVERFLOW = 'o', /* blocks with an event of which not all words are in the index */
};

struct indexer;

struct store {
	MDB_env *env;
	MDB_dbi dbi[DB_COUNT];
	enum store_mode mode;
	int lock_fd;                /* holds the flock that makes us the writer, or -1 */
	struct journal *journal;    /* STORE_WRITE without sync_each; else NULL */
	pthread_mutex_t drain_lock; /* of reading the journal */
	struct arena drain_arena;   /* guarded by drain_lock */
	int drain_err; /* atomic: why the journal did not go on into LMDB the last time */
	struct journal_view *view; /* STORE_READ: how far the writer is; may be NULL */
	pthread_mutex_t dirty_lock;
	struct ulid dirty[STORE_DIRTY_MAX]; /* guarded by dirty_lock */
	size_t n_dirty;
	bool scan_all; /* more was dirtied than fits, or we have just begun: look at all of `open` */
	pthread_mutex_t index_lock;
	struct indexer *indexer; /* guarded by index_lock, made on first use */
};

/* LMDB's codes and errnos to negative errnos. 0 stays 0. */
int store_errno(int rc);
/* mdb_txn_begin, and once more after another process has enlarged the map. */
int store_txn_begin(struct store *s, unsigned flags, MDB_txn **ret) __must_check;
void store_dirty_add(struct store *s, const struct ulid *id);
/* How far the journal has been moved into LMDB. */
int store_journal_tail(struct store *s, MDB_txn *txn, uint64_t *ret) __must_check;
/* Before reading: what was taken before this call is in LMDB when it returns (the writer's own handle),
 * or has been waited for, up to a second (a reader beside a writer). */
void store_settle(struct store *s);

static inline MDB_val store_val(const void *p, size_t n)
{
	return (MDB_val){ .mv_size = n, .mv_data = (void *)p };
}

static inline struct slice store_slice(MDB_val v)
{
	return slice_of(v.mv_data, v.mv_size);
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
}

static inline uint32_t store_be32_get(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}

/* Event keys and postings have the same form. */
static inline void store_key(uint8_t out[20], const struct ulid *id, uint32_t n)
{
	memcpy(out, id->bytes, 16);
	store_be32(out + 16, n);
}

/* The key of a value in the index. Returns its length, at most STORE_KEY_MAX. */
size_t store_index_key(uint8_t out[STORE_KEY_MAX], enum store_kind kind, struct slice value);
size_t store_index_key_u64(uint8_t out[STORE_KEY_MAX], enum store_kind kind, uint64_t value);
static inline bool store_index_key_cut(size_t key_len)
{
	return key_len > 1 + STORE_VALUE_WHOLE;
}

/* ---- records (codec.c) -------------------------------------------------------------------- */

/* An upper bound of what the encoder writes, then the encoder; it returns the bytes written. */
size_t store_session_bound(const struct store_session *sess);
size_t store_session_encode(const struct store_session *sess, uint8_t *out);
size_t store_event_bound(const struct store_event *ev);
/* zstd: a ZSTD_CCtx, used for DATA only. */
size_t store_event_encode(const struct store_event *ev, void *zstd, uint8_t *out);

/* What lies at fixed places in a session record; false when it is too short or foreign. */
bool store_session_peek(struct slice rec, enum store_state *ret_state, uint64_t *ret_facts);
/* The hash of the facts by which a session is indexed: unchanged facts need no new postings. */
uint64_t store_session_facts(const struct store_session *sess);

/* Decoded parts live in the arena and in rec. 0; -EBADMSG; -ENOMEM. */
int store_session_decode(struct slice rec, const struct ulid *id, struct arena *a,
			 struct store_session *ret) __must_check;
/* ret->op is set to op for OP events. Strings and arrays in the arena, slices in rec or the arena. */
int store_event_decode(struct slice rec, uint32_t seq, struct arena *a, struct op *op,
		       struct store_event *ret) __must_check;
/* The type alone, or -EBADMSG. */
int store_event_peek(struct slice rec);

/* Events that searches find: those with text of people's interest. */
static inline bool store_event_searchable(int type)
{
	return type == STORE_OP || type == STORE_NOTE || type == STORE_ERROR ||
	       type == STORE_APPROVAL;
}

/* ---- words (terms.c) ---------------------------------------------------------------------- */

/* The next word of text at or after *pos: letters, digits, '_' and bytes from 0x80 on. */
bool term_next(struct slice text, size_t *pos, struct slice *ret);
/* Its form in the index, ASCII folded, cut to STORE_TERM_MAX. Returns the length. */
size_t term_fold(struct slice word, uint8_t out[STORE_TERM_MAX]);

/* A word as it was searched for: "users", "public.users", "use*". */
struct term_word {
	struct slice text; /* folded, without the star */
	bool prefix;
};
/* Whether text has it, beginning and ending where a word does (a prefix: beginning). */
bool term_word_in(const struct term_word *w, struct slice text);

/* The texts of an event that are searched: calls with n = 0, 1, … until false. */
bool term_event_text(const struct store_event *ev, size_t n, struct slice *ret);

#endif
