/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: where a turn's records go first. A ring in a file of fixed size, mapped shared, so
 * that taking a batch is one copy and no system call, and what was taken outlives the process: the
 * pages belong to the kernel. store_drain moves it on into LMDB, many turns in one transaction.
 *
 * Every entry carries its position and a checksum. After a `kill -9` in the middle of a copy, or a
 * loss of power that kept some pages and lost others, reading stops before the first entry that is
 * not whole; what lies behind it was never answered for (or is what the sync interval may cost).
 *
 * One process writes. journal_append may be called from many threads, everything else from one at a
 * time (store.c holds drain_lock).
 */
#ifndef WEIR_STORE_JOURNAL_H
#define WEIR_STORE_JOURNAL_H

#include "base/slice.h"

struct journal;

enum { JOURNAL_SIZE = 16 << 20, JOURNAL_SIZE_MIN = 64 << 10 };

/*
 * Opens "journal" in the directory behind dir_fd, made and filled with zeros (size bytes, so that a
 * full disk is an error here and never a SIGBUS later) when missing or not whole; one that is there
 * keeps its size. tail is where reading goes on; everything before it has been moved to LMDB. 0 or a
 * negative errno.
 */
int journal_open(int dir_fd, size_t size, uint64_t tail, struct journal **ret) __must_check;
struct journal *journal_close(struct journal *j);

/* The largest batch that journal_append takes. */
size_t journal_entry_max(const struct journal *j);
/* 0; -EAGAIN no room until some has been drained. len must not exceed journal_entry_max. */
int journal_append(struct journal *j, struct slice batch) __must_check;

/*
 * The entry at *pos: 1 with *ret (borrowed until journal_release goes past it; 8-aligned) and *pos
 * moved behind it, 0 when there is none. Start with *pos = journal_tail.
 */
int journal_read(struct journal *j, uint64_t *pos, struct slice *ret);
uint64_t journal_tail(const struct journal *j);
uint64_t journal_head(const struct journal *j); /* behind the last entry taken */
/* Everything before pos is in LMDB: its room may be used again. */
void journal_release(struct journal *j, uint64_t pos);

/* ---- from other processes --------------------------------------------------------------------- */

/* A reader's look at how far the writer is. NULL: there is no journal, or no memory. */
struct journal_view;
struct journal_view *journal_view_open(int dir_fd);
struct journal_view *journal_view_close(struct journal_view *v);
uint64_t journal_view_head(const struct journal_view *v); /* behind the last entry taken */
uint64_t journal_view_tail(const struct journal_view *v); /* before it, all is in LMDB */

#endif
