// SPDX-License-Identifier: Apache-2.0
#include "daemon/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/slice.h"

/* One mask for all: adding a directory twice replaces its mask. */
#define EVENTS                                                                              \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | \
	 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

int watch_init(struct watch *w)
{
	*w = (struct watch){ .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK) };
	return w->fd < 0 ? -errno : 0;
}

void watch_done(struct watch *w)
{
	for (unsigned i = 0; i < w->n_places; i++)
		free(w->places[i].name);
	free(w->places);
	if (w->fd >= 0)
		close(w->fd);
	*w = (struct watch){ .fd = -1 };
}

void watch_begin(struct watch *w)
{
	for (unsigned i = 0; i < w->n_places; i++)
		w->places[i].wanted = false;
}

static bool same_name(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Whether dir is watched now. */
static bool place_add(struct watch *w, const char *dir, const char *name)
{
	struct watch_place *grown;
	char *copy = NULL;
	int wd = inotify_add_watch(w->fd, dir, EVENTS);

	if (wd < 0) {
		if (errno != ENOENT && errno != ENOTDIR && !w->deaf) {
			w->deaf = true;
			log_warn("changes are not noticed, `weir policy reload` is needed dir=%s "
				 "error=\"%s\"",
				 dir, strerror(errno));
		}
		return errno != ENOENT && errno != ENOTDIR;
	}
	for (unsigned i = 0; i < w->n_places; i++)
		if (w->places[i].wd == wd && same_name(w->places[i].name, name)) {
			w->places[i].wanted = true;
			return true;
		}
	grown = w->n_places < WATCH_PLACES_MAX
			? reallocarray(w->places, w->n_places + 1, sizeof(*grown))
			: NULL;
	if (grown)
		w->places = grown;
	if (grown && name)
		copy = strdup(name);
	if (!grown || (name && !copy)) {
		if (!w->deaf)
			log_warn("changes are not noticed, `weir policy reload` is needed dir=%s",
				 dir);
		w->deaf = true;
		return true;
	}
	w->places[w->n_places++] = (struct watch_place){ wd, copy, true };
	return true;
}

/* The directory above path, where its last component comes and goes; or the nearest that exists. */
static void add_above(struct watch *w, const char *path)
{
	char dir[PATH_MAX];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(dir))
		return;
	memcpy(dir, path, len + 1);
	while (len > 1 && dir[len - 1] == '/')
		dir[--len] = '\0';
	for (;;) {
		char *slash = strrchr(dir, '/');
		char *name = slash ? slash + 1 : dir;

		if (!*name)
			return; /* the root stays */
		if (slash == dir) {
			char copy[NAME_MAX + 1];

			if (strlen(name) >= sizeof(copy))
				return;
			memcpy(copy, name, strlen(name) + 1);
			(void)place_add(w, "/", copy); /* there is always a root */
			return;
		}
		if (slash)
			*slash = '\0';
		if (place_add(w, slash ? dir : ".", name) || !slash)
			return;
	}
}

void watch_add(struct watch *w, const char *path)
{
	char real[PATH_MAX];
	struct stat st;

	if (w->fd < 0)
		return;
	add_above(w, path);
	if (realpath(path, real) && strcmp(real, path) != 0)
		add_above(w, real);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		(void)place_add(w, path, NULL); /* gone again: the one above tells */
}

void watch_end(struct watch *w)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < w->n_places; i++) {
		struct watch_place p = w->places[i];
		bool used = p.wanted;

		if (p.wanted) {
			w->places[kept++] = p;
			continue;
		}
		free(p.name);
		for (unsigned j = 0; j < kept && !used; j++)
			used = w->places[j].wd == p.wd;
		for (unsigned j = i + 1; j < w->n_places && !used; j++)
			used = w->places[j].wd == p.wd;
		/* Fails where the directory is gone, and the watch with it. */
		if (!used)
			(void)inotify_rm_watch(w->fd, p.wd);
	}
	w->n_places = kept;
}

static bool counts(const struct watch *w, const struct inotify_event *ev)
{
	if (ev->mask & IN_Q_OVERFLOW)
		return true;
	for (unsigned i = 0; i < w->n_places; i++) {
		const struct watch_place *p = &w->places[i];

		if (p->wd != ev->wd)
			continue;
		if (!p->name || ev->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED) ||
		    (ev->len && strcmp(p->name, ev->name) == 0))
			return true;
	}
	return false;
}

void watch_read(struct watch *w, __u64 now_ns)
{
	_Alignas(struct inotify_event) char mem[8192];
	ssize_t n;

	while ((n = read(w->fd, mem, sizeof(mem))) > 0) {
		for (char *at = mem; at < mem + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)at;

			if (counts(w, ev)) {
				w->first_ns = w->first_ns ? w->first_ns : now_ns;
				w->last_ns = now_ns;
			}
			at += sizeof(*ev) + ev->len;
		}
	}
}

bool watch_take(struct watch *w, __u64 now_ns)
{
	if (!w->first_ns ||
	    (now_ns - w->last_ns < WATCH_QUIET_NS && now_ns - w->first_ns < WATCH_LONGEST_NS))
		return false;
	w->first_ns = 0;
	return true;
}

void watch_again(struct watch *w, __u64 now_ns)
{
	w->first_ns = w->last_ns = now_ns;
}
