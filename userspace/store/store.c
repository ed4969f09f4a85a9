/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, closing and the small things. LMDB runs without MDB_WRITEMAP on purpose: with it a full
 * disk is a SIGBUS in the middle of a write rather than an error, and a stray pointer of ours could
 * reach the store. In batches of 32 events the two are equally fast (tests/bench/bench_store.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_int.h"

const char *const store_state_names[] = { "open", "ended", "refused", "failed", "interrupted" };
const char *const store_event_names[] = {
	"op", "data", "result", "note", "error", "end", "approval"
};

enum {
	DIR_MODE = 0750,
	FILE_MODE = 0640,
	READERS_MAX = 510,
	SETTLE_MS = 1000,   /* a reader waits for the writer to move its journal on */
	LOCK_WAIT_MS = 300, /* a reader that rescues a journal holds the lock for a moment */
};

static const char *const db_names[DB_COUNT] = { "meta", "session", "event",
						"open", "index",   "policy" };

int store_errno(int rc)
{
	switch (rc) {
	case MDB_SUCCESS: return 0;
	case MDB_NOTFOUND: return -ENOENT;
	case MDB_KEYEXIST: return -EEXIST;
	case MDB_MAP_FULL:
	case EDQUOT:
	case EFBIG: return -ENOSPC;
	case MDB_READERS_FULL: return -EMFILE;
	case MDB_VERSION_MISMATCH:
	case MDB_INVALID:
	case MDB_INCOMPATIBLE: return -EPROTO;
	case MDB_TXN_FULL: return -EMSGSIZE;
	default: return rc > 0 ? -rc : -EIO; /* errnos; corrupted, panic, bad transaction … */
	}
}

const char *store_strerror(int err)
{
	switch (err < 0 ? -err : err) {
	case 0: return "no error";
	case ENOENT: return "there is no such thing in the store";
	case EBUSY: return "another process writes this store";
	case EPROTO: return "this is not a store, or it was made by another version of weir";
	case ENOSPC: return "the disk or the store's map is full";
	case EMFILE: return "too many readers have the store open";
	case EBADMSG: return "a record is damaged";
	case EMSGSIZE: return "the record is too large";
	default: return strerror(err < 0 ? -err : err);
	}
}

int store_txn_begin(struct store *s, unsigned flags, MDB_txn **ret)
{
	int rc = mdb_txn_begin(s->env, NULL, flags, ret);

	if (rc == MDB_MAP_RESIZED && s->mode == STORE_READ) {
		/* The writer came back with a larger map. Readers have one transaction at a time. */
		rc = mdb_env_set_mapsize(s->env, 0);
		if (rc == MDB_SUCCESS)
			rc = mdb_txn_begin(s->env, NULL, flags, ret);
	}
	return store_errno(rc);
}

static int lock_writer(struct store *s, const char *dir)
{
	_cleanup_(close_p) int dir_fd = -1;
	_cleanup_(close_p) int fd = -1;

	if (mkdir(dir, DIR_MODE) < 0 && errno != EEXIST)
		return -errno;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -errno;
	fd = openat(dir_fd, "writer.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (fd < 0)
		return -errno;
	for (int ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; ms++) {
		struct timespec t = { .tv_nsec = 1000 * 1000 };

		if (errno != EWOULDBLOCK)
			return -errno;
		if (ms == LOCK_WAIT_MS)
			return -EBUSY;
		(void)nanosleep(&t, NULL); /* woken early only looks earlier */
	}
	s->lock_fd = TAKE_FD(fd);
	return 0;
}

/*
 * Whether a reader may do without LMDB's lock file: it is missing (a copied store; a reader, often
 * root, must not create it in the writer's place) and nobody writes.
 */
static int reader_flags(const char *dir, unsigned *ret)
{
	_cleanup_(close_p) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(close_p) int fd = -1;
	struct stat st;

	*ret = 0;
	if (dir_fd < 0)
		return -errno;
	/* Nothing that leads elsewhere, nothing on which open(2) waits. */
	if (fstatat(dir_fd, "data.mdb", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EPROTO;
	if (fstatat(dir_fd, "lock.mdb", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISREG(st.st_mode) ? 0 : -EPROTO;
	if (errno != ENOENT)
		return -errno;
	fd = openat(dir_fd, "writer.lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0)
		return -EBUSY;
	*ret = MDB_NOLOCK;
	return 0;
}

static int open_env(struct store *s, const struct store_config *cfg)
{
	unsigned flags = MDB_NOTLS;
	int rc, r;

	rc = mdb_env_create(&s->env);
	if (rc)
		return store_errno(rc);
	if (s->mode == STORE_WRITE) {
		flags |= cfg->sync_each ? 0 : MDB_NOSYNC;
		rc = mdb_env_set_mapsize(s->env, cfg->map_size ? cfg->map_size : (size_t)64 << 30);
		if (rc)
			return store_errno(rc);
	} else {
		r = reader_flags(cfg->dir, &flags);
		if (r < 0)
			return r;
		flags |= MDB_NOTLS | MDB_RDONLY;
	}
	rc = mdb_env_set_maxdbs(s->env, DB_COUNT);
	if (!rc)
		rc = mdb_env_set_maxreaders(s->env, READERS_MAX);
	if (!rc)
		rc = mdb_env_open(s->env, cfg->dir, flags, FILE_MODE);
	return store_errno(rc);
}

static int check_layout(struct store *s, MDB_txn *txn)
{
	MDB_val key = store_val("layout", 6), v;
	uint8_t layout[4];
	int rc;

	store_be32(layout, STORE_LAYOUT);
	rc = mdb_get(txn, s->dbi[DB_META], &key, &v);
	if (rc == MDB_NOTFOUND && s->mode == STORE_WRITE) {
		v = store_val(layout, sizeof(layout));
		return store_errno(mdb_put(txn, s->dbi[DB_META], &key, &v, 0));
	}
	if (rc)
		return rc == MDB_NOTFOUND ? -EPROTO : store_errno(rc);
	return slice_eq(store_slice(v), slice_of(layout, sizeof(layout))) ? 0 : -EPROTO;
}

static int open_dbs(struct store *s)
{
	bool write = s->mode == STORE_WRITE;
	MDB_txn *txn;
	int r, rc = 0;

	r = store_txn_begin(s, write ? 0 : MDB_RDONLY, &txn);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < DB_COUNT && !rc; i++) {
		unsigned flags = write ? MDB_CREATE : 0;

		if (i == DB_INDEX)
			flags |= MDB_DUPSORT | MDB_DUPFIXED;
		rc = mdb_dbi_open(txn, db_names[i], flags, &s->dbi[i]);
	}
	r = store_errno(rc);
	if (!r)
		r = check_layout(s, txn);
	if (r < 0) {
		mdb_txn_abort(txn);
		return r;
	}
	return store_errno(mdb_txn_commit(txn));
}

/* The writer's journal: what a dead one left in it goes into LMDB before anything else. */
static int open_journal(struct store *s, const struct store_config *cfg)
{
	_cleanup_(close_p) int dir_fd = open(cfg->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t tail;
	MDB_txn *txn;
	int r;

	if (dir_fd < 0)
		return -errno;
	r = store_txn_begin(s, MDB_RDONLY, &txn);
	if (r < 0)
		return r;
	r = store_journal_tail(s, txn, &tail);
	mdb_txn_abort(txn);
	if (!r)
		r = journal_open(dir_fd, cfg->journal_size ? cfg->journal_size : JOURNAL_SIZE, tail,
				 &s->journal);
	if (!r)
		r = store_drain(s);
	if (!r && cfg->sync_each)
		s->journal = journal_close(s->journal); /* every commit goes to the disk itself */
	return r;
}

static bool writer_alive(int dir_fd)
{
	_cleanup_(close_p) int fd =
		openat(dir_fd, "writer.lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/*
 * A reader's part: a writer that died may have left records in the journal. Who may write the store
 * moves them on; who may not reads without them, as the writer's successor will do it.
 */
static void rescue_journal(const struct store_config *cfg, struct journal_view **ret_view)
{
	_cleanup_(close_p) int dir_fd = open(cfg->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct store_config write_cfg = *cfg;
	struct journal_view *view;
	struct store *s;

	view = dir_fd < 0 ? NULL : journal_view_open(dir_fd);
	if (view && journal_view_head(view) > journal_view_tail(view) && !writer_alive(dir_fd)) {
		write_cfg.mode = STORE_WRITE;
		if (store_open(&write_cfg, &s) == 0)
			(void)store_close(s); /* returns NULL */
	}
	*ret_view = view;
}

void store_settle(struct store *s)
{
	uint64_t head;

	if (s->mode == STORE_WRITE) {
		(void)!store_drain(s); /* what cannot be moved on is not found; commits say why */
		return;
	}
	if (!s->view)
		return;
	head = journal_view_head(s->view);
	for (int ms = 0; ms < SETTLE_MS && journal_view_tail(s->view) < head; ms++) {
		struct timespec t = { .tv_nsec = 1000 * 1000 };

		(void)nanosleep(&t, NULL); /* woken early only looks earlier */
	}
}

int store_open(const struct store_config *cfg, struct store **ret)
{
	struct journal_view *view = NULL;
	struct store *s;
	int dead, r = 0;

	if (cfg->mode == STORE_READ)
		rescue_journal(cfg, &view);
	s = calloc(1, sizeof(*s));
	if (!s) {
		(void)journal_view_close(view); /* returns NULL */
		return -ENOMEM;
	}
	s->view = view;
	arena_init(&s->drain_arena, 1 << 20);
	pthread_mutex_init(&s->drain_lock, NULL);
	s->lock_fd = -1;
	s->mode = cfg->mode;
	s->scan_all = true;
	pthread_mutex_init(&s->dirty_lock, NULL);
	pthread_mutex_init(&s->index_lock, NULL);
	if (cfg->mode == STORE_WRITE)
		r = lock_writer(s, cfg->dir);
	if (!r)
		r = open_env(s, cfg);
	if (!r)
		r = open_dbs(s);
	if (!r && cfg->mode == STORE_WRITE)
		r = open_journal(s, cfg);
	if (r < 0) {
		(void)store_close(s);
		return r;
	}
	(void)mdb_reader_check(s->env, &dead); /* a slot that stays taken only costs room */
	*ret = s;
	return 0;
}

int store_sync(struct store *s)
{
	int dead, r = store_drain(s);

	if (r < 0)
		return r;

	/* Readers that died without closing keep old pages from being used again. */
	(void)mdb_reader_check(s->env, &dead);
	return store_errno(mdb_env_sync(s->env, 1));
}

size_t store_index_key(uint8_t out[STORE_KEY_MAX], enum store_kind kind, struct slice value)
{
	uint64_t h;

	out[0] = (uint8_t)kind;
	if (value.len <= STORE_VALUE_WHOLE) {
		if (value.len)
			memcpy(out + 1, value.ptr, value.len);
		return 1 + value.len;
	}
	h = hash_bytes(value, HASH_KEY_FIXED);
	memcpy(out + 1, value.ptr, STORE_VALUE_HEAD);
	memcpy(out + 1 + STORE_VALUE_HEAD, &h, 8);
	return STORE_KEY_MAX;
}

size_t store_index_key_u64(uint8_t out[STORE_KEY_MAX], enum store_kind kind, uint64_t value)
{
	uint64_t be = __builtin_bswap64(value);

	return store_index_key(out, kind, slice_of(&be, sizeof(be)));
}

int store_put_policy(struct store *s, const uint8_t hash[32], struct slice text)
{
	MDB_val key = store_val(hash, 32),
		v = store_val(text.ptr ? text.ptr : (void *)"", text.len);
	MDB_txn *txn;
	int rc, r;

	r = store_txn_begin(s, 0, &txn);
	if (r < 0)
		return r;
	rc = mdb_put(txn, s->dbi[DB_POLICY], &key, &v, MDB_NOOVERWRITE);
	if (rc) {
		mdb_txn_abort(txn);
		return rc == MDB_KEYEXIST ? 0 : store_errno(rc);
	}
	return store_errno(mdb_txn_commit(txn));
}

int store_get_policy(struct store *s, const uint8_t hash[32], char **ret)
{
	MDB_val key = store_val(hash, 32), v;
	MDB_txn *txn;
	char *copy;
	int r;

	r = store_txn_begin(s, MDB_RDONLY, &txn);
	if (r < 0)
		return r;
	r = store_errno(mdb_get(txn, s->dbi[DB_POLICY], &key, &v));
	if (!r) {
		copy = slice_dup(store_slice(v));
		if (copy)
			*ret = copy;
		else
			r = -ENOMEM;
	}
	mdb_txn_abort(txn);
	return r;
}
