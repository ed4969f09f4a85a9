// SPDX-License-Identifier: Apache-2.0
#include "agents.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/list.h"
#include "container.h"
#include "names.h"

enum {
	BUCKETS = 1024,
	KNOWN_MAX = 16384, /* cgroups remembered: an agent that makes cgroups without end */
	WANTED_MAX = 1024, /* ids in resolution: connects from thousands of new cgroups at once */
};

/* What is known of one cgroup id. */
struct known {
	struct list_node bucket;
	uint64_t cgroup_id;
	char *path;          /* NULL: resolved, and there is none */
	struct agent *agent; /* made at the first lookup; NULL: not yet, or no attached ancestor */
	bool settled;        /* agent is final until the next change */
	bool attached;
	char *container; /* attached only, from here on */
	char *image;
	struct identity_label *labels;
	size_t n_labels;
	struct policy_set *own;
};

struct agents {
	pthread_rwlock_t lock;
	struct list_node buckets[BUCKETS];
	size_t n_known;
	struct policy_set *set; /* the daemon's, may be NULL */
	struct names *names;
	uint64_t generation, detachments; /* changed under the lock, read without */
	char boot_id[40];
	pthread_mutex_t wanted_lock;
	uint64_t wanted[WANTED_MAX];
	size_t n_wanted;
	int wanted_fd;
};

/* ---- agent ---------------------------------------------------------------------------------- */

struct agent *agent_ref(struct agent *a)
{
	__atomic_add_fetch(&a->_refs, 1, __ATOMIC_RELAXED);
	return a;
}

struct agent *agent_unref(struct agent *a)
{
	if (!a || __atomic_sub_fetch(&a->_refs, 1, __ATOMIC_ACQ_REL))
		return NULL;
	(void)policy_set_unref(a->set); /* returns NULL */
	(void)agent_unref(a->_of); /* returns NULL; nothing is made for a connection twice over */
	free(a->_mem);
	free(a);
	return NULL;
}

/* Copies strings one after the other into memory that was measured before. */
static const char *put(char **at, struct slice s)
{
	char *start = *at;

	if (s.len)
		memcpy(start, s.ptr, s.len);
	start[s.len] = '\0';
	*at += s.len + 1;
	return start;
}

static int agent_new(struct agents *r, const struct known *self, const struct known *top,
		     struct agent **ret)
{
	struct container_ref ref = container_from_path(slice_str(self->path));
	size_t size = strlen(self->path) + sizeof(r->boot_id) + ref.id.len + ref.pod.len +
		      strlen(top->container) + strlen(top->image) + 8;
	struct identity_label *labels;
	struct agent *a;
	char *at;

	for (size_t i = 0; i < top->n_labels; i++)
		size += strlen(top->labels[i].key) + strlen(top->labels[i].value) + 2;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->_mem = malloc(top->n_labels * sizeof(*labels) + size);
	if (!a->_mem) {
		free(a);
		return -ENOMEM;
	}
	labels = (struct identity_label *)(void *)a->_mem;
	at = a->_mem + top->n_labels * sizeof(*labels);
	for (size_t i = 0; i < top->n_labels; i++) {
		labels[i].key = put(&at, slice_str(top->labels[i].key));
		labels[i].value = put(&at, slice_str(top->labels[i].value));
	}
	a->_refs = 1;
	a->id = (struct identity){
		.cgroup_id = self->cgroup_id,
		.cgroup_path = put(&at, slice_str(self->path)),
		.boot_id = put(&at, slice_str(r->boot_id)),
		.runtime = ref.runtime,
		.container = put(&at, top->container[0] ? slice_str(top->container) : ref.id),
		.image = put(&at, slice_str(top->image)),
		.pod = put(&at, ref.pod),
		.labels = labels,
		.n_labels = top->n_labels,
		.uid = UINT32_MAX,
		.comm = "",
		.exe = "",
	};
	if (top->own) {
		a->set = policy_set_ref(top->own);
		a->policy = policy_set_at(top->own, 0);
		a->wants_exe = policy_set_wants_exe(top->own);
	} else if (r->set) {
		a->set = policy_set_ref(r->set);
		a->policy = policy_set_match(r->set, &a->id);
		a->_per_connection = policy_set_per_connection(r->set);
		a->wants_exe = policy_set_wants_exe(r->set);
	}
	*ret = a;
	return 0;
}

/* ---- the table ------------------------------------------------------------------------------ */

static struct list_node *bucket_of(struct agents *r, uint64_t id)
{
	return &r->buckets[hash_u64(id) % BUCKETS];
}

static struct known *known_find(struct agents *r, uint64_t id)
{
	list_foreach(n, bucket_of(r, id)) {
		struct known *k = container_of(n, struct known, bucket);

		if (k->cgroup_id == id)
			return k;
	}
	return NULL;
}

static void known_clear_attachment(struct known *k)
{
	for (size_t i = 0; i < k->n_labels; i++) {
		free((char *)(uintptr_t)k->labels[i].key);
		free((char *)(uintptr_t)k->labels[i].value);
	}
	free(k->labels);
	free(k->container);
	free(k->image);
	k->labels = NULL;
	k->container = k->image = NULL;
	k->n_labels = 0;
	k->own = policy_set_unref(k->own);
	k->attached = false;
}

static void known_drop(struct agents *r, struct known *k)
{
	list_remove(&k->bucket);
	known_clear_attachment(k);
	(void)agent_unref(k->agent); /* returns NULL */
	free(k->path);
	free(k);
	r->n_known--;
}

/* Calls fn for every entry, which may drop it. */
#define known_foreach(k, r)                                                                  \
	for (size_t b_##k = 0; b_##k < BUCKETS; b_##k++)                                     \
		list_foreach(n_##k, &(r)->buckets[b_##k])                                    \
			for (struct known *k = container_of(n_##k, struct known, bucket); k; \
			     k = NULL)

/* Policies or attachments changed: what was worked out before no longer holds. */
static void unsettle_all(struct agents *r)
{
	__atomic_add_fetch(&r->generation, 1, __ATOMIC_RELEASE);
	known_foreach(k, r)
	{
		k->agent = agent_unref(k->agent);
		k->settled = false;
	}
}

static int known_add(struct agents *r, uint64_t id, const char *path, struct known **ret)
{
	struct known *k;

	/* Those that are not attached can be asked for again. */
	if (r->n_known >= KNOWN_MAX)
		known_foreach(old, r) if (!old->attached) known_drop(r, old);
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	if (path) {
		k->path = strdup(path);
		if (!k->path) {
			free(k);
			return -ENOMEM;
		}
	}
	k->cgroup_id = id;
	list_append(bucket_of(r, id), &k->bucket);
	r->n_known++;
	*ret = k;
	return 0;
}

/* The attached cgroup nearest above path, or path itself. */
static struct known *nearest_attached(struct agents *r, const char *path)
{
	struct known *best = NULL;
	size_t best_len = 0;

	known_foreach(k, r)
	{
		size_t len;

		if (!k->attached || !k->path)
			continue;
		len = strlen(k->path);
		if (strncmp(path, k->path, len) == 0 && (path[len] == '\0' || path[len] == '/') &&
		    (!best || len > best_len)) {
			best = k;
			best_len = len;
		}
	}
	return best;
}

/* ---- the registry --------------------------------------------------------------------------- */

int agents_new(const char *boot_id, struct agents **ret)
{
	struct agents *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->wanted_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wanted_fd < 0 || pthread_rwlock_init(&r->lock, NULL) != 0) {
		close_p(&r->wanted_fd);
		free(r);
		return -ENOMEM;
	}
	/* Cannot fail with default attributes on Linux. */
	(void)pthread_mutex_init(&r->wanted_lock, NULL);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&r->buckets[i]);
	snprintf(r->boot_id, sizeof(r->boot_id), "%s", boot_id); /* 36 characters; cut if not */
	*ret = r;
	return 0;
}

struct agents *agents_free(struct agents *r)
{
	if (!r)
		return NULL;
	known_foreach(k, r) known_drop(r, k);
	(void)policy_set_unref(r->set);               /* returns NULL */
	(void)names_free(r->names);                   /* returns NULL */
	(void)pthread_rwlock_destroy(&r->lock);       /* nobody can hold it any more */
	(void)pthread_mutex_destroy(&r->wanted_lock); /* the same */
	close_p(&r->wanted_fd);
	free(r);
	return NULL;
}

/* The kernel's lock cannot fail here: it is initialised, and never taken twice by one thread. */
static void lock_read(struct agents *r)
{
	int err = pthread_rwlock_rdlock(&r->lock);

	assert(err == 0);
}

static void lock_write(struct agents *r)
{
	int err = pthread_rwlock_wrlock(&r->lock);

	assert(err == 0);
}

static void unlock(struct agents *r)
{
	int err = pthread_rwlock_unlock(&r->lock);

	assert(err == 0);
}

void agents_set_policies(struct agents *r, struct policy_set *take_set)
{
	struct policy_set *old;

	lock_write(r);
	old = r->set;
	r->set = take_set;
	unsettle_all(r);
	unlock(r);
	(void)policy_set_unref(old); /* returns NULL */
	agents_refresh_names(r);
}

static int dup_labels(struct known *k, const struct identity_label *labels, size_t n)
{
	k->labels = n ? calloc(n, sizeof(*k->labels)) : NULL;
	if (n && !k->labels)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		char *key = strdup(labels[i].key), *value = strdup(labels[i].value);

		k->labels[i] = (struct identity_label){ key, value };
		k->n_labels = i + 1;
		if (!key || !value)
			return -ENOMEM;
	}
	return 0;
}

static int attach_locked(struct agents *r, uint64_t cgroup_id, const char *path,
			 const char *container, const char *image,
			 const struct identity_label *labels, size_t n_labels,
			 struct policy_set *own)
{
	struct known *old = known_find(r, cgroup_id), *k;
	int err = known_add(r, cgroup_id, path, &k);

	if (err < 0)
		return err;
	k->container = strdup(container);
	k->image = strdup(image);
	err = k->container && k->image ? dup_labels(k, labels, n_labels) : -ENOMEM;
	if (err < 0) {
		known_drop(r, k);
		return err;
	}
	/* known_add may have dropped it, when it was not attached. */
	if (old && known_find(r, cgroup_id) == old)
		known_drop(r, old);
	k->own = own;
	k->attached = true;
	unsettle_all(r);
	return 0;
}

int agents_attach(struct agents *r, uint64_t cgroup_id, const char *path, const char *container,
		  const char *image, const struct identity_label *labels, size_t n_labels,
		  struct policy_set *own)
{
	int err;

	if (own && policy_set_count(own) != 1)
		return -EINVAL;
	lock_write(r);
	err = attach_locked(r, cgroup_id, path, container, image, labels, n_labels, own);
	unlock(r);
	if (err == 0 && own)
		agents_refresh_names(r);
	return err;
}

uint64_t agents_generation(const struct agents *r)
{
	return __atomic_load_n(&r->generation, __ATOMIC_ACQUIRE);
}

uint64_t agents_detachments(const struct agents *r)
{
	return __atomic_load_n(&r->detachments, __ATOMIC_ACQUIRE);
}

int agents_detach(struct agents *r, uint64_t cgroup_id)
{
	struct known *k;

	lock_write(r);
	k = known_find(r, cgroup_id);
	if (k && k->attached) {
		known_drop(r, k);
		unsettle_all(r);
		__atomic_add_fetch(&r->detachments, 1, __ATOMIC_RELEASE);
		unlock(r);
		return 0;
	}
	unlock(r);
	return -ENOENT;
}

static int settle(struct agents *r, struct known *k)
{
	struct known *top = k->path ? nearest_attached(r, k->path) : NULL;
	struct agent *agent = NULL;

	if (top) {
		int err = agent_new(r, k, top, &agent);

		if (err < 0)
			return err;
	}
	k->agent = agent;
	k->settled = true;
	return 0;
}

static void lock_wanted(struct agents *r)
{
	int err = pthread_mutex_lock(&r->wanted_lock);

	assert(err == 0);
}

static void unlock_wanted(struct agents *r)
{
	int err = pthread_mutex_unlock(&r->wanted_lock);

	assert(err == 0);
}

/* -EAGAIN as agents_lookup gives it, or -ENOBUFS. */
static int want(struct agents *r, uint64_t cgroup_id)
{
	uint64_t one = 1;
	int err = -EAGAIN;
	size_t i = 0;

	lock_wanted(r);
	while (i < r->n_wanted && r->wanted[i] != cgroup_id)
		i++;
	if (i == WANTED_MAX)
		err = -ENOBUFS;
	else if (i == r->n_wanted)
		r->wanted[r->n_wanted++] = cgroup_id;
	if (write(r->wanted_fd, &one, sizeof(one)) < 0)
		errno = 0; /* full: it is readable already */
	unlock_wanted(r);
	return err;
}

int agents_wanted_fd(const struct agents *r)
{
	return r->wanted_fd;
}

int agents_wanted(struct agents *r, uint64_t *ret_cgroup_id)
{
	uint64_t count;
	int got = 0;

	lock_wanted(r);
	if (r->n_wanted) {
		*ret_cgroup_id = r->wanted[--r->n_wanted];
		got = 1;
	} else if (read(r->wanted_fd, &count, sizeof(count)) < 0) {
		errno = 0; /* quiet already */
	}
	unlock_wanted(r);
	return got;
}

int agents_lookup(struct agents *r, uint64_t cgroup_id, struct agent **ret)
{
	struct known *k;
	int err = 0;

	lock_read(r);
	k = known_find(r, cgroup_id);
	if (k && !k->settled) {
		/* Once after each change: take the lock to write, and look again. */
		unlock(r);
		lock_write(r);
		k = known_find(r, cgroup_id);
		if (k && !k->settled)
			err = settle(r, k);
	}
	if (!k)
		err = -EAGAIN;
	else if (err == 0 && !k->agent)
		err = -EACCES;
	else if (err == 0)
		*ret = agent_ref(k->agent);
	unlock(r);
	return err == -EAGAIN ? want(r, cgroup_id) : err;
}

int agents_lookup_connection(struct agents *r, const struct identity *connection,
			     struct agent **ret)
{
	const struct policy *p;
	struct agent *a, *own;
	struct identity id;
	int err = agents_lookup(r, connection->cgroup_id, &a);

	if (err < 0)
		return err;
	id = a->id;
	id.uid = connection->uid;
	id.exe = connection->exe;
	p = a->_per_connection ? policy_set_match(a->set, &id) : a->policy;
	if (p == a->policy) {
		*ret = a;
		return 0;
	}
	own = calloc(1, sizeof(*own));
	if (!own) {
		(void)agent_unref(a); /* returns NULL */
		return -ENOMEM;
	}
	*own = (struct agent){
		.id = a->id, .set = policy_set_ref(a->set), .policy = p, ._refs = 1, ._of = a
	};
	*ret = own;
	return 0;
}

void agents_resolved(struct agents *r, uint64_t cgroup_id, const char *path)
{
	struct known *k;

	lock_write(r);
	if (!known_find(r, cgroup_id))
		/* Without memory it stays unknown; whoever waits is refused in time. */
		(void)known_add(r, cgroup_id, path, &k);
	unlock(r);
}

const struct policy_target *agents_target(struct agents *r, const struct agent *a,
					  const struct addr *dst)
{
	const struct policy_target *t;
	struct policy_names view;

	if (!a->policy)
		return NULL;
	lock_read(r);
	view = names_view(r->names);
	t = policy_target_match(a->policy, dst, &view);
	unlock(r);
	return t;
}

int agents_names(struct agents *r, const struct addr *dst, struct buf *names)
{
	struct policy_names view;
	struct slice name;
	int ret = 0;

	lock_read(r);
	view = names_view(r->names);
	for (size_t i = 0; ret == 0 && (name = view.at(view.ctx, dst, i)).len; i++) {
		if (buf_room(names) < name.len + 1)
			break;
		ret = buf_put_slice(names, name);
		if (ret == 0)
			ret = buf_put_u8(names, 0);
	}
	unlock(r);
	return ret;
}

void agents_refresh_names(struct agents *r)
{
	struct policy_set **sets;
	struct names *names, *old;
	size_t n = 0;

	lock_read(r);
	sets = calloc(r->n_known + 1, sizeof(struct policy_set *));
	if (sets) {
		if (r->set)
			sets[n++] = policy_set_ref(r->set);
		known_foreach(k, r) if (k->own) sets[n++] = policy_set_ref(k->own);
	}
	unlock(r);
	if (!sets)
		return; /* the former table stays */
	names = names_resolve(sets, n);
	lock_write(r);
	old = r->names;
	r->names = names;
	unlock(r);
	(void)names_free(old); /* returns NULL */
	for (size_t i = 0; i < n; i++)
		(void)policy_set_unref(sets[i]); /* returns NULL */
	free(sets);
}
