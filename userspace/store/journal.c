// SPDX-License-Identifier: Apache-2.0
#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

#define JOURNAL_MAGIC 0x316c6e7272696577ULL /* "weirrnl1" */

enum { HEAD_PAGE = 4096, FILE_MODE = 0640, LEN_WRAP = 0xffffffff >> 1 };

/* The file's first page. head and tail are for readers to wait by; recovery trusts only entries. */
struct head_page {
	uint64_t magic, capacity;
	uint64_t head, tail; /* atomic */
};

/* Before each batch, 8-aligned. Positions count bytes since the store was made and never wrap. */
struct entry {
	uint64_t pos;
	uint64_t sum; /* of pos, len and the batch */
	uint32_t len; /* LEN_WRAP: the rest of the ring is empty, go on at its start */
	uint32_t pad;
};

struct journal {
	struct head_page *page;
	uint8_t *ring;
	size_t capacity;
	pthread_mutex_t lock; /* of appending */
	uint64_t head;        /* atomic: moved by appenders, looked at by the drainer */
	uint64_t tail;        /* atomic: moved by the drainer, looked at by appenders */
};

static size_t entry_size(size_t len)
{
	return sizeof(struct entry) + ((len + 7) & ~(size_t)7);
}

static uint64_t entry_sum(uint64_t pos, struct slice batch)
{
	struct hash_key key = HASH_KEY_FIXED;

	key.k0 ^= pos;
	key.k1 ^= batch.len;
	return hash_bytes(batch, key);
}

size_t journal_entry_max(const struct journal *j)
{
	return j->capacity / 4 - sizeof(struct entry);
}

uint64_t journal_tail(const struct journal *j)
{
	return __atomic_load_n(&j->tail, __ATOMIC_ACQUIRE);
}

uint64_t journal_head(const struct journal *j)
{
	return __atomic_load_n(&j->head, __ATOMIC_ACQUIRE);
}

void journal_release(struct journal *j, uint64_t pos)
{
	__atomic_store_n(&j->tail, pos, __ATOMIC_RELEASE);
	__atomic_store_n(&j->page->tail, pos, __ATOMIC_RELEASE);
}

static void entry_write(struct journal *j, uint64_t pos, uint32_t len, struct slice batch)
{
	struct entry *e = (struct entry *)(void *)(j->ring + pos % j->capacity);

	if (batch.len)
		memcpy(e + 1, batch.ptr, batch.len);
	e->pos = pos;
	e->len = len;
	e->pad = 0;
	e->sum = entry_sum(pos, batch);
}

static int append_locked(struct journal *j, struct slice batch)
{
	uint64_t head = j->head;
	size_t need = entry_size(batch.len), to_end = j->capacity - head % j->capacity;
	size_t skip = need > to_end ? to_end : 0;

	if (head + skip + need - journal_tail(j) > j->capacity)
		return -EAGAIN;
	if (skip >= sizeof(struct entry))
		entry_write(j, head, LEN_WRAP, SLICE_NONE);
	entry_write(j, head + skip, (uint32_t)batch.len, batch);
	head += skip + need;
	__atomic_store_n(&j->head, head, __ATOMIC_RELEASE);
	__atomic_store_n(&j->page->head, head, __ATOMIC_RELEASE);
	return 0;
}

int journal_append(struct journal *j, struct slice batch)
{
	int r, err;

	assert(batch.len <= journal_entry_max(j));
	err = pthread_mutex_lock(&j->lock);
	assert(err == 0);
	r = append_locked(j, batch);
	err = pthread_mutex_unlock(&j->lock);
	assert(err == 0);
	return r;
}

int journal_read(struct journal *j, uint64_t *pos, struct slice *ret)
{
	while (*pos < __atomic_load_n(&j->head, __ATOMIC_ACQUIRE)) {
		size_t at = *pos % j->capacity, to_end = j->capacity - at;
		const struct entry *e = (const struct entry *)(const void *)(j->ring + at);
		struct slice batch;

		if (to_end < sizeof(*e)) {
			*pos += to_end; /* too short for a mark: understood */
			continue;
		}
		if (e->pos != *pos)
			return 0;
		if (e->len == LEN_WRAP) {
			if (e->sum != entry_sum(*pos, SLICE_NONE))
				return 0;
			*pos += to_end;
			continue;
		}
		if (e->len > journal_entry_max(j) || entry_size(e->len) > to_end)
			return 0;
		batch = slice_of(e + 1, e->len);
		if (e->sum != entry_sum(*pos, batch))
			return 0;
		*pos += entry_size(e->len);
		*ret = batch;
		return 1;
	}
	return 0;
}

/* ---- the file ------------------------------------------------------------------------------- */

/* Zeros, written rather than reserved: the first touch of a page must not have to find room. */
static int fill(int fd, size_t size)
{
	static const uint8_t zeros[64 << 10];

	if (ftruncate(fd, 0) < 0)
		return -errno;
	for (size_t at = 0; at < size;) {
		ssize_t n = pwrite(fd, zeros, MIN(sizeof(zeros), size - at), (off_t)at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Behind the last whole entry from tail on: where appending goes on. */
static void find_head(struct journal *j)
{
	uint64_t pos = journal_tail(j), head = pos;
	struct slice batch;

	j->head = UINT64_MAX; /* read on as long as entries are whole */
	while (journal_read(j, &pos, &batch) > 0)
		head = pos;
	j->head = j->page->head = head;
	j->page->tail = journal_tail(j);
}

/* The capacity of a journal that is there already and whole, else 0. */
static size_t existing_capacity(int fd, size_t file_size)
{
	struct head_page page;

	if (pread(fd, &page, sizeof(page), 0) != sizeof(page) || page.magic != JOURNAL_MAGIC ||
	    page.capacity < JOURNAL_SIZE_MIN || page.capacity % HEAD_PAGE ||
	    file_size != HEAD_PAGE + page.capacity)
		return 0;
	return page.capacity;
}

int journal_open(int dir_fd, size_t size, uint64_t tail, struct journal **ret)
{
	_cleanup_(close_p) int fd = -1;
	size_t capacity, whole;
	struct journal *j;
	struct stat st;
	void *mem;
	int r;

	assert(size >= JOURNAL_SIZE_MIN && size % HEAD_PAGE == 0);
	fd = openat(dir_fd, "journal", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	capacity = existing_capacity(fd, (size_t)st.st_size);
	whole = HEAD_PAGE + (capacity ? capacity : size);
	if (!capacity) {
		r = fill(fd, whole);
		if (r < 0)
			return r;
	}
	mem = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return -errno;
	j = calloc(1, sizeof(*j));
	if (!j) {
		munmap(mem, whole);
		return -ENOMEM;
	}
	j->page = mem;
	j->ring = (uint8_t *)mem + HEAD_PAGE;
	j->capacity = whole - HEAD_PAGE;
	j->tail = tail;
	/* Cannot fail with default attributes on Linux. */
	(void)pthread_mutex_init(&j->lock, NULL);
	if (!capacity)
		*j->page = (struct head_page){ .magic = JOURNAL_MAGIC, .capacity = j->capacity };
	find_head(j);
	*ret = j;
	return 0;
}

struct journal *journal_close(struct journal *j)
{
	if (!j)
		return NULL;
	munmap(j->page, HEAD_PAGE + j->capacity);
	(void)pthread_mutex_destroy(&j->lock); /* nobody can hold it any more */
	free(j);
	return NULL;
}

/* ---- readers -------------------------------------------------------------------------------- */

struct journal_view {
	const struct head_page *page;
};

struct journal_view *journal_view_open(int dir_fd)
{
	_cleanup_(close_p) int fd =
		openat(dir_fd, "journal", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct journal_view *v;
	struct stat st;
	void *mem;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < HEAD_PAGE)
		return NULL;
	mem = mmap(NULL, HEAD_PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return NULL;
	v = calloc(1, sizeof(*v));
	if (!v) {
		munmap(mem, HEAD_PAGE);
		return NULL;
	}
	v->page = mem;
	return v;
}

struct journal_view *journal_view_close(struct journal_view *v)
{
	if (v) {
		munmap((void *)(uintptr_t)v->page, HEAD_PAGE);
		free(v);
	}
	return NULL;
}

uint64_t journal_view_head(const struct journal_view *v)
{
	return __atomic_load_n(&v->page->head, __ATOMIC_ACQUIRE);
}

uint64_t journal_view_tail(const struct journal_view *v)
{
	return __atomic_load_n(&v->page->tail, __ATOMIC_ACQUIRE);
}
