// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/cgroup.h"
#include "daemon/warden_int.h"

static struct ipc_msg msg; /* one thread, and too large for its stack */

struct attached *agents_find(struct warden *w, __u64 cgroup_id)
{
	list_foreach(n, &w->attached) {
		struct attached *a = container_of(n, struct attached, node);

		if (a->cgroup_id == cgroup_id)
			return a;
	}
	return NULL;
}

bool agents_cover(struct warden *w, const char *path)
{
	list_foreach(n, &w->attached)
		if (cgroup_path_covers(attached_path(container_of(n, struct attached, node)), path))
			return true;
	return false;
}

static void drop(struct warden *w, struct attached *a)
{
	w->n_attached--;
	attached_free(a);
}

/* Takes the hooks off and forgets; the proxy is told by the caller. */
static int unhook(struct warden *w, struct attached *a)
{
	int r = bpfctl_detach(w->bpf, a->cgroup_id);

	if (r < 0 && r != -ENOENT)
		return r;
	attached_forget(w->agents_dir, a->cgroup_id);
	return 0;
}

/* Tells the proxy, when there is one; a proxy to come is not told of it in the first place. */
static int tell_gone(struct warden *w, __u64 cgroup_id, __u64 client)
{
	ipc_msg_init(&msg, IPC_AGENT_GONE);
	msg.head.cgroup_id = cgroup_id;
	return keeper_ask(w, &msg, client, NULL);
}

static int adopt_one(struct warden *w, __u64 id)
{
	_cleanup_(attached_free_p) struct attached *a = NULL;
	char path[CGROUP_PATH_MAX];
	int r = bpfctl_cgroup_path(id, path, sizeof(path));

	if (r == -ENOENT) {
		log_info("cgroup is gone, detached cgroup_id=%" PRIu64, (uint64_t)id);
		attached_forget(w->agents_dir, id);
		return bpfctl_detach(w->bpf, id);
	}
	if (r == 0)
		r = attached_load(w->agents_dir, id, path, w->boot_id, &a);
	if (r < 0) {
		if (r == -ENOMEM)
			return r;
		log_error(
			"what was agreed for an attached cgroup is lost, all its connections will "
			"be refused until it is attached again cgroup=%s error=\"%s\"",
			path, strerror(-r));
		r = attached_new_lost(path, id, clock_realtime_ns(), &a);
		if (r < 0)
			return r;
	} else {
		log_info("adopted cgroup=%s cgroup_id=%" PRIu64, path, (uint64_t)id);
	}
	list_append(&w->attached, &a->node);
	w->n_attached++;
	TAKE_PTR(a);
	return 0;
}

/* Files of cgroups that have no hooks. */
static void forget_stale(struct warden *w)
{
	int fd = openat(w->agents_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir) {
		close_p(&fd);
		return;
	}
	while ((d = readdir(dir))) {
		__u64 id = attached_file_id(d->d_name);

		if (d->d_name[0] == '.' && d->d_type == DT_REG)
			(void)unlinkat(w->agents_dir, d->d_name, 0); /* half-written */
		else if (id && !agents_find(w, id))
			attached_forget(w->agents_dir, id);
	}
	closedir(dir);
}

int agents_adopt(struct warden *w)
{
	_cleanup_(free_p) __u64 *ids = calloc(ATTACHED_MAX, sizeof(*ids));
	int n, r;

	if (!ids)
		return -ENOMEM;
	n = bpfctl_attached(w->bpf, ids, ATTACHED_MAX);
	if (n < 0)
		return n;
	if (n > ATTACHED_MAX)
		return -EMSGSIZE;
	for (int i = 0; i < n; i++) {
		r = adopt_one(w, ids[i]);
		if (r < 0)
			return r;
	}
	forget_stale(w);
	return 0;
}

/* Opens the cgroup of a request and refuses those that must not be attached. The client has its answer
 * when this is negative. */
static int request_cgroup(struct warden *w, struct client *c, const char *path, __u64 *ret_id)
{
	char self[CGROUP_PATH_MAX];
	int fd, r;

	if (strcmp(path, "/") == 0) {
		control_refuse(w, c->id, "invalid",
			       "/: the root cgroup holds every process, Weir's own included");
		return -EINVAL;
	}
	r = cgroup_self(self);
	if (r < 0) {
		control_refuse(w, c->id, "failed", "cannot tell the daemon's own cgroup: %s",
			       strerror(-r));
		return r;
	}
	if (cgroup_path_covers(path, self)) {
		control_refuse(w, c->id, "invalid",
			       "%s: the daemon itself runs there (in %s); its connections to the "
			       "servers would come back to it",
			       path, self);
		return -EINVAL;
	}
	fd = cgroup_open(path);
	if (fd < 0) {
		control_refuse(w, c->id, fd == -ENOENT ? "not-found" : "invalid", "%s: %s", path,
			       fd == -ENOENT    ? "there is no such cgroup"
			       : fd == -ENOTSUP ? "no cgroup v2 hierarchy is mounted"
						: strerror(-fd));
		return fd;
	}
	r = bpfctl_cgroup_id(fd, ret_id);
	if (r < 0) {
		control_refuse(w, c->id, "failed", "%s: %s", path, strerror(-r));
		close(fd);
		return r;
	}
	return fd;
}

void agents_attach_begin(struct warden *w, struct client *c, const json_t *request)
{
	const char *given = json_string_value(json_object_get(request, "cgroup"));
	_cleanup_(attached_free_p) struct attached *fresh = NULL;
	_cleanup_(close_p) int fd = -1;
	char path[CGROUP_PATH_MAX];
	const char *problem = "";
	struct attached *old;
	__u64 id = 0;
	int r;

	if (!given || cgroup_path_clean(given, path) < 0 || strcmp(given, path) != 0) {
		control_refuse(w, c->id, "invalid", "\"cgroup\" must be a clean absolute path");
		return;
	}
	fd = request_cgroup(w, c, path, &id);
	if (fd < 0)
		return;
	old = agents_find(w, id);
	if ((old && old->owner && old->owner != c->id) || (old && old->ending)) {
		control_refuse(w, c->id, "busy", "%s belongs to a `weir run`", path);
		return;
	}
	if (!old && w->n_attached >= ATTACHED_MAX) {
		control_refuse(w, c->id, "failed", "%d cgroups are attached, that is the most",
			       ATTACHED_MAX);
		return;
	}
	r = attached_new(request, id, clock_realtime_ns(), &fresh, &problem);
	if (r < 0) {
		control_refuse(w, c->id, "invalid", "%s", r == -EINVAL ? problem : strerror(-r));
		return;
	}
	if (json_is_true(json_object_get(request, "owned")))
		fresh->owner = c->id;
	r = attached_to_msg(fresh, &msg);
	if (r == 0)
		r = keeper_ask(w, &msg, c->id, fresh);
	ipc_msg_done(&msg);
	if (r < 0) {
		control_refuse(w, c->id, r == -ENOTCONN ? "restarting" : "failed", "%s",
			       r == -ENOTCONN   ? "the proxy is being restarted"
			       : r == -EMSGSIZE ? "the labels are too long together"
						: strerror(-r));
		return;
	}
	if (fresh->owner)
		c->owner = true;
	TAKE_PTR(fresh);
}

/* The proxy has it, the rest did not work: it must not stay there. */
static void roll_back(struct warden *w, __u64 cgroup_id)
{
	struct attached *old = agents_find(w, cgroup_id);
	int r;

	if (!old) {
		r = tell_gone(w, cgroup_id, 0);
	} else {
		r = attached_to_msg(old, &msg);
		if (r == 0)
			r = keeper_ask(w, &msg, 0, NULL);
		ipc_msg_done(&msg);
	}
	/* A new one learns it from the table, which is right. */
	if (r < 0 && r != -ENOTCONN)
		keeper_kill(w, "an attach could not be rolled back");
}

void agents_attach_acked(struct warden *w, __u64 client, struct attached *fresh, int status,
			 const char *message)
{
	_cleanup_(attached_free_p) struct attached *a = fresh;
	_cleanup_(close_p) int fd = -1;
	struct bpfctl_err err = { "" };
	struct attached *old = agents_find(w, a->cgroup_id);
	const char *path = attached_path(a);
	__u64 id = 0;
	int r;

	if (status < 0) {
		control_refuse(w, client, "policy", "%s", message);
		return;
	}
	if (a->owner && !control_find(w, a->owner)) {
		roll_back(w, a->cgroup_id); /* who asked for it is gone */
		return;
	}
	fd = cgroup_open(path);
	r = fd < 0 ? fd : bpfctl_cgroup_id(fd, &id);
	if (r >= 0 && id != a->cgroup_id)
		r = -ESTALE; /* removed and made again since it was asked for */
	if (r >= 0)
		r = attached_save(a, w->agents_dir, w->boot_id);
	if (r < 0) {
		control_refuse(w, client, "failed", "%s: %s", path, strerror(-r));
	} else {
		r = bpfctl_attach(w->bpf, fd, a->cgroup_id, &err);
		if (r < 0)
			control_refuse(w, client, "failed", "%s: %s", path,
				       err.message[0] ? err.message : strerror(-r));
	}
	if (r < 0) {
		log_error("not attached cgroup=%s error=\"%s\"", path,
			  err.message[0] ? err.message : strerror(-r));
		/* Without its file the next warden refuses all of it: safe, and said there. */
		if (!old || attached_save(old, w->agents_dir, w->boot_id) < 0)
			attached_forget(w->agents_dir, a->cgroup_id);
		roll_back(w, a->cgroup_id);
		return;
	}
	if (old)
		drop(w, old);
	list_append(&w->attached, &a->node);
	w->n_attached++;
	log_info("attached cgroup=%s cgroup_id=%" PRIu64, path, (uint64_t)a->cgroup_id);
	control_answer(w, client,
		       json_pack("{ss,sI}", "cgroup", path, "id", (json_int_t)a->cgroup_id));
	TAKE_PTR(a);
}

void agents_attach_failed(struct warden *w, __u64 client, struct attached *fresh)
{
	control_refuse(w, client, "restarting", "the proxy ended; it is being restarted");
	attached_free(fresh);
}

void agents_detach_begin(struct warden *w, struct client *c, const json_t *request)
{
	const char *given = json_string_value(json_object_get(request, "cgroup"));
	struct attached *a = NULL;
	char path[CGROUP_PATH_MAX];
	__u64 id;
	int r;

	if (!given || cgroup_path_clean(given, path) < 0) {
		control_refuse(w, c->id, "invalid", "\"cgroup\" must be an absolute path");
		return;
	}
	list_foreach(n, &w->attached)
		if (strcmp(attached_path(container_of(n, struct attached, node)), path) == 0)
			a = container_of(n, struct attached, node);
	if (!a) {
		control_refuse(w, c->id, "not-found", "%s is not attached", path);
		return;
	}
	if ((a->owner && a->owner != c->id) || a->ending) {
		control_refuse(w, c->id, "busy", "%s belongs to a `weir run`", path);
		return;
	}
	r = unhook(w, a);
	if (r < 0) {
		control_refuse(w, c->id, "failed", "%s: %s", path, strerror(-r));
		return;
	}
	log_info("detached cgroup=%s cgroup_id=%" PRIu64, path, (uint64_t)a->cgroup_id);
	id = a->cgroup_id;
	drop(w, a);
	if (tell_gone(w, id, c->id) < 0)
		control_answer(w, c->id, NULL); /* no proxy that would have to know */
}

json_t *agents_list(struct warden *w)
{
	json_t *list = json_array();

	list_foreach(n, &w->attached) {
		struct attached *a = container_of(n, struct attached, node);
		const json_t *policy = json_object_get(a->doc, "policy");
		json_t *labels = json_object_get(a->doc, "labels");
		const char *container = json_string_value(json_object_get(a->doc, "container"));
		const char *name = json_string_value(json_object_get(policy, "name"));
		const char *source = json_string_value(json_object_get(policy, "source"));
		char since[CLOCK_TEXT_MAX];
		int count = cgroup_count(attached_path(a));
		json_t *o;

		o = json_pack("{ss,sI,ss,ss*,ss*,sO?,ss,si}", "cgroup", attached_path(a), "id",
			      (json_int_t)a->cgroup_id, "container", container ? container : "",
			      "policy", name && *name ? name : NULL, "policy_source", source,
			      "labels", labels, "since", clock_format(a->since_ns, since),
			      "processes", MAX(count, 0));
		if (o && a->lost)
			(void)json_object_set_new(o, "state", json_string("refused"));
		else if (o)
			(void)json_object_set_new(o, "state",
						  json_string(a->ending ? "ending" : "attached"));
		if (!list || !o || json_array_append_new(list, o) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

void agents_owner_gone(struct warden *w, __u64 client)
{
	list_foreach(n, &w->attached) {
		struct attached *a = container_of(n, struct attached, node);

		if (a->owner != client)
			continue;
		log_warn("its `weir run` is gone, ending it cgroup=%s", attached_path(a));
		a->ending = true;
		w->next_sweep_ns = 0;
	}
}

/* One whose owner is gone: no process of it may outlive the hooks. */
static void end(struct warden *w, struct attached *a)
{
	const char *path = attached_path(a);
	__u64 id = a->cgroup_id;

	if (cgroup_populated(path) != 0) {
		if (cgroup_kill(path) < 0) /* looked at again by the next sweep */
			log_warn("cannot end its processes cgroup=%s", path);
		return;
	}
	if (unhook(w, a) < 0)
		return;
	if (cgroup_remove(path) < 0)
		log_warn("an empty cgroup stays cgroup=%s", path);
	drop(w, a);
	(void)tell_gone(w, id, 0); /* no proxy that would have to know */
}

void agents_sweep(struct warden *w)
{
	char path[CGROUP_PATH_MAX];

	list_foreach(n, &w->attached) {
		struct attached *a = container_of(n, struct attached, node);
		__u64 id = a->cgroup_id;

		if (bpfctl_cgroup_path(id, path, sizeof(path)) == -ENOENT) {
			if (unhook(w, a) < 0)
				continue;
			log_info("cgroup is gone, detached cgroup=%s", attached_path(a));
			drop(w, a);
			(void)tell_gone(w, id, 0); /* no proxy that would have to know */
		} else if (a->ending) {
			end(w, a);
		}
	}
}

void agents_detach_all(struct warden *w)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };

	list_foreach(n, &w->attached) {
		struct attached *a = container_of(n, struct attached, node);

		if (a->owner || a->ending)
			for (int i = 0; i < 150 && cgroup_populated(attached_path(a)) > 0; i++) {
				if (cgroup_kill(attached_path(a)) < 0)
					break;
				nanosleep(&pause, NULL);
			}
		if (unhook(w, a) < 0)
			log_error("still attached cgroup=%s", attached_path(a));
		if ((a->owner || a->ending) && cgroup_remove(attached_path(a)) < 0)
			log_warn("a cgroup stays cgroup=%s", attached_path(a));
		drop(w, a);
	}
}

void agents_free_all(struct warden *w)
{
	list_foreach(n, &w->attached)
		drop(w, container_of(n, struct attached, node));
}
