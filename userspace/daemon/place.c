// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/cgroup.h"
#include "daemon/file.h"
#include "daemon/warden_int.h"

enum { LISTEN_BACKLOG = 4096, POLICY_FILES_MAX = 1024 };

/* Who beside root may use the control socket. */
static int control_group(struct warden *w)
{
	const char *name = w->cfg->control_group;
	struct group *gr;
	uint64_t id;

	if (!*name)
		return 0;
	if (slice_to_u64(slice_str(name), &id) == 0 && id < INT32_MAX) {
		w->control_group = (gid_t)id;
	} else if ((gr = getgrnam(name))) {
		w->control_group = gr->gr_gid;
	} else {
		log_error("there is no group \"%s\" (control.group)", name);
		return -ENOENT;
	}
	if (w->control_group == 0 || w->control_group == w->gid) {
		log_error("control.group must not be root's or the proxy's group=\"%s\"", name);
		return -EINVAL;
	}
	return 0;
}

int place_user(struct warden *w)
{
	const char *name = w->cfg->user;
	struct passwd *pw;
	uint64_t id;

	if (slice_to_u64(slice_str(name), &id) == 0 && id < INT32_MAX) {
		pw = getpwuid((uid_t)id);
		w->uid = (uid_t)id;
		w->gid = pw ? pw->pw_gid : (gid_t)id;
	} else if ((pw = getpwnam(*name ? name : "weir"))) {
		w->uid = pw->pw_uid;
		w->gid = pw->pw_gid;
	} else if (*name) {
		log_error("there is no user \"%s\"", name);
		return -ENOENT;
	} else {
		w->uid = w->gid = DAEMON_FALLBACK_ID;
	}
	if (w->uid == 0 || w->gid == 0) {
		log_error("the proxy must not run as root or in its group user=\"%s\"", name);
		return -EINVAL;
	}
	return control_group(w);
}

static int boot_id_read(struct warden *w)
{
	_cleanup_(free_p) char *text = NULL;
	size_t len;
	int r = file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, &len);

	if (r < 0)
		return r;
	if (len < 36)
		return -EBADMSG;
	memcpy(w->boot_id, text, 36);
	w->boot_id[36] = '\0';
	return 0;
}

static int lock_take(struct warden *w)
{
	char path[4096], pid[32];
	ssize_t n;

	if (snprintf(path, sizeof(path), "%s/daemon.lock", w->cfg->runtime_dir) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	w->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (w->lock < 0)
		return -errno;
	if (flock(w->lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return -errno;
		n = pread(w->lock, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? n : 0] = '\0';
		log_error("a daemon is running already pid=%lu lock=%s", strtoul(pid, NULL, 10),
			  path);
		return -EALREADY;
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(w->lock, 0) < 0 || pwrite(w->lock, pid, (size_t)n, 0) != n)
		return -errno;
	return 0;
}

int place_runtime(struct warden *w)
{
	const char *dir = w->cfg->runtime_dir;
	char agents[4096];
	int r = boot_id_read(w);

	if (r == 0 &&
	    (snprintf(agents, sizeof(agents), "%s/agents", dir) >= (int)sizeof(agents) ||
	     snprintf(w->pin_dir, sizeof(w->pin_dir), "%s/bpf", dir) >= (int)sizeof(w->pin_dir)))
		r = -ENAMETOOLONG;
	if (r == 0)
		r = dir_make(dir, 0755);
	if (r == 0)
		r = lock_take(w);
	if (r == -EALREADY)
		return r;
	if (r == 0)
		r = dir_make(w->pin_dir, 0700);
	if (r == 0)
		r = dir_make(agents, 0700);
	if (r == 0) {
		w->agents_dir = open(agents, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (w->agents_dir < 0)
			r = -errno;
	}
	if (r < 0)
		log_error("cannot prepare the runtime directory path=%s error=\"%s\"", dir,
			  strerror(-r));
	return r;
}

void place_remove(struct warden *w)
{
	static const char *const names[] = { "daemon.lock", "agents", "bpf" };
	int fd = open(w->cfg->runtime_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(names); i++)
		if (unlinkat(fd, names[i], i == 0 ? 0 : AT_REMOVEDIR) < 0 && errno != ENOENT)
			log_warn("left behind name=%s/%s error=\"%s\"", w->cfg->runtime_dir,
				 names[i], strerror(errno));
	close_p(&fd);
	/* Stays where others keep things in it. */
	(void)rmdir(w->cfg->runtime_dir);
}

/* Every directory above must let the proxy's user through; says which one does not. */
static int store_reachable(const struct warden *w, const char *dir)
{
	char part[4096];

	for (size_t i = 1; dir[i]; i++) {
		struct stat st;
		mode_t need;

		if (dir[i] != '/' || i >= sizeof(part))
			continue;
		memcpy(part, dir, i);
		part[i] = '\0';
		if (stat(part, &st) < 0)
			return -errno;
		need = st.st_uid == w->uid ? S_IXUSR : st.st_gid == w->gid ? S_IXGRP : S_IXOTH;
		if (!(st.st_mode & need)) {
			log_error("the proxy's user cannot enter a directory above the store "
				  "uid=%u directory=%s mode=%04o: chmod o+x it, or choose another "
				  "place by --store",
				  (unsigned)w->uid, part, (unsigned)st.st_mode & 07777);
			return -EACCES;
		}
	}
	return 0;
}

/* What root's own readers made in there (lock files) goes to the proxy's user. */
static int store_own(const struct warden *w, int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *d;
	int r = 0;

	if (!dir) {
		r = -errno;
		close_p(&copy);
		return r;
	}
	while ((d = readdir(dir))) {
		struct stat st;
		int file = openat(fd, d->d_name,
				  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

		if (file < 0)
			continue;
		/* One link only: a second name could be a file of root's somewhere else. */
		if (fstat(file, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 &&
		    st.st_nlink == 1 && fchown(file, w->uid, w->gid) < 0)
			r = -errno;
		close(file);
	}
	closedir(dir);
	return r;
}

int place_store(struct warden *w)
{
	const char *dir = w->cfg->store;
	_cleanup_(close_p) int fd = -1;
	struct stat st;
	int r = dir_make(dir, 0700);

	if (r == 0) {
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0)
			r = -errno;
	}
	if (r == 0 && st.st_uid != 0 && st.st_uid != w->uid) {
		log_error("the store belongs to somebody else path=%s uid=%u expected=%u", dir,
			  (unsigned)st.st_uid, (unsigned)w->uid);
		return -EPERM;
	}
	if (r == 0 && st.st_uid == 0 && (fchown(fd, w->uid, w->gid) < 0 || fchmod(fd, 0700) < 0))
		r = -errno;
	if (r == 0)
		r = store_own(w, fd);
	if (r < 0) {
		log_error("cannot prepare the store path=%s error=\"%s\"", dir, strerror(-r));
		return r;
	}
	return store_reachable(w, dir);
}

static int listener_open(int family, int *ret_port)
{
	struct sockaddr_in6 sa6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in sa4 = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool v6 = family == AF_INET6;
	struct sockaddr *sa = v6 ? (struct sockaddr *)&sa6 : (struct sockaddr *)&sa4;
	socklen_t len = v6 ? sizeof(sa6) : sizeof(sa4);
	_cleanup_(close_p) int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int on = 1;

	if (fd < 0)
		return -errno;
	if (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (bind(fd, sa, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ||
	    getsockname(fd, sa, &len) < 0)
		return -errno;
	*ret_port = ntohs(v6 ? sa6.sin6_port : sa4.sin_port);
	return TAKE_FD(fd);
}

int place_listeners(struct warden *w)
{
	int fd = listener_open(AF_INET, &w->listener_ports[0]);

	if (fd < 0) {
		log_error("cannot listen on 127.0.0.1 error=\"%s\"", strerror(-fd));
		return fd;
	}
	w->listeners[0] = fd;
	fd = listener_open(AF_INET6, &w->listener_ports[1]);
	/* Without IPv6 nobody can connect by it; with it, its listener is a must. */
	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) {
		log_warn("no IPv6 loopback: connects over IPv6 will be refused");
		return 0;
	}
	if (fd < 0) {
		log_error("cannot listen on ::1 error=\"%s\"", strerror(-fd));
		return fd;
	}
	w->listeners[1] = fd;
	return 0;
}

/* The policy files that are to be read. */
struct files {
	char *names[POLICY_FILES_MAX];
	char *texts[POLICY_FILES_MAX];
	struct policy_source sources[POLICY_FILES_MAX];
	size_t n;
};

static void files_free(struct files **fp)
{
	struct files *f = *fp;

	for (size_t i = 0; f && i < f->n; i++) {
		free(f->names[i]);
		free(f->texts[i]);
	}
	free(f);
}

static int files_add(struct files *f, struct watch *watch, const char *path, char reterr[1024])
{
	size_t len;
	int r;

	watch_add(watch, path);
	if (f->n == POLICY_FILES_MAX)
		return -EMSGSIZE;
	f->texts[f->n] = NULL;
	f->names[f->n] = strdup(path);
	if (!f->names[f->n++])
		return -ENOMEM;
	r = file_read(AT_FDCWD, path, POLICY_TEXT_MAX, &f->texts[f->n - 1], &len);
	if (r < 0)
		snprintf(reterr, 1024, "%s: %s", path, strerror(-r));
	else
		f->sources[f->n - 1] = (struct policy_source){ f->names[f->n - 1],
							       slice_of(f->texts[f->n - 1], len) };
	return r;
}

static int is_policy_file(const struct dirent *d)
{
	return policy_is_file_name(d->d_name);
}

static int files_add_dir(struct files *f, struct watch *watch, const char *dir, char reterr[1024])
{
	struct dirent **entries;
	char path[4096];
	int n, r = 0;

	watch_add(watch, dir);
	n = scandir(dir, &entries, is_policy_file, alphasort);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (r == 0 && snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name) >=
				      (int)sizeof(path))
			r = -ENAMETOOLONG;
		if (r == 0)
			r = files_add(f, watch, path, reterr);
		free(entries[i]);
	}
	free(entries);
	return r;
}

/* Of names and texts, each behind its length. */
static int files_digest(const struct files *f, uint8_t ret[SHA256_LEN])
{
	struct buf b;
	int r = 0;

	/* Each file by its own digest, so that the whole need not be in memory twice. */
	buf_init(&b, POLICY_FILES_MAX * 2 * SHA256_LEN);
	for (size_t i = 0; r == 0 && i < f->n; i++) {
		uint8_t one[2 * SHA256_LEN];

		r = sha256_bytes(slice_str(f->names[i]), one);
		if (r == 0)
			r = sha256_bytes(f->sources[i].json, one + SHA256_LEN);
		if (r == 0)
			r = buf_put(&b, one, sizeof(one));
	}
	if (r == 0)
		r = sha256_bytes(buf_peek(&b), ret);
	buf_done(&b);
	return r;
}

int place_policies(struct warden *w, unsigned *ret_n, uint8_t ret_digest[SHA256_LEN],
		   char reterr[1024])
{
	_cleanup_(files_free) struct files *f = calloc(1, sizeof(*f));
	int r = f ? 0 : -ENOMEM;

	reterr[0] = '\0';
	watch_begin(&w->watch);
	if (r == 0 && !w->cfg->policies_given) {
		r = files_add_dir(f, &w->watch, DAEMON_POLICY_DIR, reterr);
		if (r == -ENOENT && f->n == 0)
			r = 0;
	}
	for (unsigned i = 0; f && i < w->cfg->n_policies; i++) {
		const char *path = w->cfg->policies[i];
		struct stat st;

		if (r < 0) {
			watch_add(&w->watch, path); /* the others as well, for the next time */
			continue;
		}
		if (stat(path, &st) < 0) {
			r = -errno;
			watch_add(&w->watch, path);
		} else {
			r = S_ISDIR(st.st_mode) ? files_add_dir(f, &w->watch, path, reterr)
						: files_add(f, &w->watch, path, reterr);
		}
		if (r < 0 && !reterr[0])
			snprintf(reterr, 1024, "%s: %s", path, strerror(-r));
	}
	watch_end(&w->watch);
	if (r == 0)
		r = files_digest(f, ret_digest);
	if (r == 0) {
		*ret_n = (unsigned)f->n;
		r = ipc_bundle_new(f->sources, f->n);
	}
	if (r < 0 && !reterr[0])
		snprintf(reterr, 1024, "the policies: %s", strerror(-r));
	if (r < 0)
		log_error("cannot read the policies: %s", reterr);
	return r;
}

void place_ready(struct warden *w)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	static const char text[] = "READY=1\n";

	if (path && (*path == '/' || *path == '@') && strlen(path) < sizeof(sa.sun_path)) {
		_cleanup_(close_p) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));

		memcpy(sa.sun_path, path, strlen(path));
		if (*path == '@')
			sa.sun_path[0] = '\0';
		if (fd < 0 || sendto(fd, text, sizeof(text) - 1, MSG_NOSIGNAL,
				     (struct sockaddr *)&sa, len) < 0)
			log_warn("cannot say that we are ready socket=%s error=\"%s\"", path,
				 strerror(errno));
	}
	if (w->cfg->ready_fd >= 0 && write(w->cfg->ready_fd, "1", 1) != 1)
		log_warn("cannot say that we are ready fd=%d", w->cfg->ready_fd);
	if (w->cfg->ready_fd >= 0)
		close(w->cfg->ready_fd);
	log_info("ready pid=%d socket=%s store=%s", (int)getpid(), w->cfg->socket, w->cfg->store);
}
