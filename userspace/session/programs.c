// SPDX-License-Identifier: Apache-2.0
#include "programs.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum state { FREE, WANTED, ASKED, TOLD };

struct slot {
	enum state state;
	struct program_ask ask;
	char *path; /* TOLD */
};

struct programs {
	pthread_mutex_t lock;
	int fd;
	uint64_t last_key; /* its slot is key % PROGRAMS_MAX */
	size_t n_wanted;
	struct slot slots[PROGRAMS_MAX];
};

int programs_new(struct programs **ret)
{
	struct programs *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->fd < 0) {
		free(p);
		return -ENOMEM;
	}
	(void)pthread_mutex_init(&p->lock, NULL); /* cannot fail with default attributes */
	*ret = p;
	return 0;
}

struct programs *programs_free(struct programs *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < PROGRAMS_MAX; i++)
		free(p->slots[i].path);
	(void)pthread_mutex_destroy(&p->lock); /* nobody can hold it any more */
	close_p(&p->fd);
	free(p);
	return NULL;
}

static void lock(struct programs *p)
{
	int err = pthread_mutex_lock(&p->lock);

	assert(err == 0);
}

static void unlock(struct programs *p)
{
	int err = pthread_mutex_unlock(&p->lock);

	assert(err == 0);
}

/* NULL when the key's slot is another's by now. */
static struct slot *find(struct programs *p, uint64_t key)
{
	struct slot *s = &p->slots[key % PROGRAMS_MAX];

	return s->state != FREE && s->ask.key == key ? s : NULL;
}

static void slot_clear(struct programs *p, struct slot *s)
{
	p->n_wanted -= s->state == WANTED;
	free(s->path);
	*s = (struct slot){ .state = FREE };
}

int programs_ask(struct programs *p, uint32_t pid, uint64_t cgroup_id, uint64_t *ret_key)
{
	uint64_t one = 1, key = 0;

	lock(p);
	for (size_t i = 0; i < PROGRAMS_MAX && !key; i++) {
		uint64_t next = ++p->last_key;
		struct slot *s = &p->slots[next % PROGRAMS_MAX];

		if (s->state != FREE)
			continue;
		key = next;
		*s = (struct slot){ .state = WANTED, .ask = { key, cgroup_id, pid } };
		p->n_wanted++;
	}
	if (key && write(p->fd, &one, sizeof(one)) < 0)
		errno = 0; /* full: it is readable already */
	unlock(p);
	if (!key)
		return -ENOBUFS;
	*ret_key = key;
	return 0;
}

int programs_take(struct programs *p, uint64_t key, char **ret)
{
	struct slot *s;
	int got = 0;

	lock(p);
	s = find(p, key);
	if (s && s->state == TOLD) {
		*ret = TAKE_PTR(s->path);
		slot_clear(p, s);
		got = 1;
	}
	unlock(p);
	return got;
}

void programs_forget(struct programs *p, uint64_t key)
{
	struct slot *s;

	lock(p);
	s = find(p, key);
	if (s)
		slot_clear(p, s);
	unlock(p);
}

int programs_wanted_fd(const struct programs *p)
{
	return p->fd;
}

int programs_wanted(struct programs *p, struct program_ask *ret)
{
	uint64_t count;
	int got = 0;

	lock(p);
	for (size_t i = 0; p->n_wanted && i < PROGRAMS_MAX && !got; i++) {
		struct slot *s = &p->slots[i];

		if (s->state != WANTED)
			continue;
		s->state = ASKED;
		p->n_wanted--;
		*ret = s->ask;
		got = 1;
	}
	if (!got && read(p->fd, &count, sizeof(count)) < 0)
		errno = 0; /* quiet already */
	unlock(p);
	return got;
}

void programs_told(struct programs *p, uint64_t key, const char *path)
{
	struct slot *s;

	lock(p);
	s = find(p, key);
	if (s && s->state == ASKED) {
		/* Without memory it cannot be told, and who waits is refused in time. */
		s->path = strdup(path ? path : "");
		s->state = s->path ? TOLD : ASKED;
	}
	unlock(p);
}
