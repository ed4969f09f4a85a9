// SPDX-License-Identifier: Apache-2.0
#include "daemon/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUNDLE_MAGIC 0x31625077u /* "wPb1" */
#define BUNDLE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

enum {
	BUNDLE_SOURCES_MAX = 4096, /* a list of empty policies that eats memory */
	BUNDLE_NAME_MAX = 4096,    /* bytes of one name, NUL included */
	SEND_TIMEOUT_MS = 5000,    /* a peer that stopped reading would stop us as well */
};

/* The bundle: this head, an entry for each source, then name NUL json NUL for each. */
struct bundle_head {
	__u32 magic;
	__u32 n_sources;
};

struct bundle_entry {
	__u32 name_len; /* NUL included */
	__u32 json_len; /* without its NUL */
};

void ipc_msg_init(struct ipc_msg *m, enum ipc_type type)
{
	/* The payload stays as it is: only payload_len bytes of it are ever looked at or sent. */
	m->head = (struct ipc_head){ .version = IPC_VERSION, .type = type };
	for (size_t i = 0; i < IPC_FDS_MAX; i++)
		m->fds[i] = -1;
}

void ipc_msg_done(struct ipc_msg *m)
{
	for (size_t i = 0; i < IPC_FDS_MAX; i++) {
		close_p(&m->fds[i]);
		m->fds[i] = -1;
	}
}

int ipc_msg_put(struct ipc_msg *m, const char *s)
{
	size_t n = strlen(s) + 1;

	if (n > IPC_PAYLOAD_MAX - m->head.payload_len)
		return -EMSGSIZE;
	memcpy(m->payload + m->head.payload_len, s, n);
	m->head.payload_len += (__u32)n;
	return 0;
}

const char *ipc_msg_get(const struct ipc_msg *m, size_t i)
{
	const char *p = m->payload, *end = m->payload + m->head.payload_len;

	for (; p < end; p += strlen(p) + 1)
		if (i-- == 0)
			return p;
	return NULL;
}

static bool type_known(__u32 type)
{
	switch (type) {
	case IPC_SETUP:
	case IPC_LISTENER:
	case IPC_POLICIES:
	case IPC_AGENT:
	case IPC_AGENT_GONE:
	case IPC_RESOLVED:
	case IPC_STATUS:
	case IPC_STOP:
	case IPC_ACK:
	case IPC_RESOLVE:
	case IPC_EXE:
	case IPC_EXE_IS:
	case IPC_ANSWER:
	case IPC_APPROVALS:
	case IPC_HELD:
	case IPC_SETTLED:
	case IPC_WEBHOOK:
	case IPC_NOTIFY:
	case IPC_NOTIFY_STATS:
	case IPC_VOTE: return true;
	default: return false;
	}
}

/* Waits at most timeout_ms for room; 0: not at all. */
static int send_within(int sock, const struct ipc_msg *m, int timeout_ms)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
	} control = { 0 };
	struct ipc_head head = m->head;
	struct iovec iov[2] = {
		{ &head, sizeof(head) },
		{ (void *)m->payload, m->head.payload_len },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t n_fds = 0;

	if (m->head.payload_len > IPC_PAYLOAD_MAX)
		return -EMSGSIZE;
	while (n_fds < IPC_FDS_MAX && m->fds[n_fds] >= 0)
		n_fds++;
	head.n_fds = (__u32)n_fds;
	if (n_fds) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), m->fds, sizeof(int) * n_fds);
	}
	for (;;) {
		struct pollfd p = { .fd = sock, .events = POLLOUT };
		int r;

		if (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || !timeout_ms)
			return -errno;
		r = poll(&p, 1, timeout_ms);
		if (r == 0)
			return -ETIMEDOUT;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

int ipc_send(int sock, const struct ipc_msg *m)
{
	return send_within(sock, m, SEND_TIMEOUT_MS);
}

int ipc_try_send(int sock, const struct ipc_msg *m)
{
	return send_within(sock, m, 0);
}

/* Moves the descriptors of a received packet into m; how many there were. */
static size_t take_fds(struct msghdr *msg, struct ipc_msg *m)
{
	size_t total = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (total < IPC_FDS_MAX)
				m->fds[total] = fd;
			else
				close(fd);
			total++;
		}
	}
	return total;
}

int ipc_recv(int sock, struct ipc_msg *m)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
	} control;
	struct iovec iov[2] = {
		{ &m->head, sizeof(m->head) },
		{ m->payload, sizeof(m->payload) },
	};
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	size_t n_fds, len;
	ssize_t n;

	ipc_msg_init(m, 0);
	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		n = -errno;
		ipc_msg_init(m, 0);
		return (int)n;
	}
	n_fds = take_fds(&msg, m);
	/* A packet without bytes cannot be told from the end; neither has anything to say. */
	if (n == 0)
		return n_fds ? -EBADMSG : 0;
	len = (size_t)n;
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || len < sizeof(m->head) ||
	    m->head.version != IPC_VERSION || !type_known(m->head.type) ||
	    m->head.payload_len != len - sizeof(m->head) || m->head.n_fds != n_fds ||
	    n_fds > IPC_FDS_MAX ||
	    (m->head.payload_len && m->payload[m->head.payload_len - 1] != '\0')) {
		/* Nothing of it may be read later on, by mistake. */
		m->head = (struct ipc_head){ .version = IPC_VERSION };
		return -EBADMSG;
	}
	return 1;
}

static int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Sealed: what a reader checked cannot change under its feet. */
static int memfd_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, BUNDLE_SEALS) < 0 ? -errno : 0;
}

/* Is it one that nobody can change any more? Its length, or -EBADMSG. */
static int memfd_sealed_len(int fd, size_t *ret)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & BUNDLE_SEALS) != BUNDLE_SEALS)
		return -EBADMSG;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (size_t)st.st_size;
	return 0;
}

static int read_all(int fd, void *out, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)out + done, len - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		done += (size_t)n;
	}
	return 0;
}

int ipc_blob_new(struct slice bytes)
{
	_cleanup_(close_p) int fd = memfd_create("weir-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, bytes.ptr, bytes.len);
	if (r == 0)
		r = memfd_seal(fd);
	return r < 0 ? r : TAKE_FD(fd);
}

ssize_t ipc_blob_read_into(int fd, void *out, size_t size)
{
	size_t len;
	int r = memfd_sealed_len(fd, &len);

	if (r == 0 && len > size)
		r = -EMSGSIZE;
	if (r == 0)
		r = read_all(fd, out, len);
	return r < 0 ? r : (ssize_t)len;
}

int ipc_blob_read(int fd, size_t max, char **ret, size_t *ret_len)
{
	_cleanup_(free_p) char *mem = NULL;
	size_t len;
	int r = memfd_sealed_len(fd, &len);

	if (r < 0)
		return r;
	if (len > max)
		return -EMSGSIZE;
	mem = malloc(len + 1);
	if (!mem)
		return -ENOMEM;
	r = read_all(fd, mem, len);
	if (r < 0)
		return r;
	mem[len] = '\0';
	*ret = TAKE_PTR(mem);
	*ret_len = len;
	return 0;
}

int ipc_bundle_new(const struct policy_source *sources, size_t n)
{
	_cleanup_(close_p) int fd = -1;
	struct bundle_head head = { .magic = BUNDLE_MAGIC, .n_sources = (__u32)n };
	size_t total = 0;
	int r;

	if (n > BUNDLE_SOURCES_MAX)
		return -EMSGSIZE;
	for (size_t i = 0; i < n; i++) {
		if (strlen(sources[i].name) >= BUNDLE_NAME_MAX ||
		    sources[i].json.len > POLICY_TEXT_MAX - total)
			return -EMSGSIZE;
		total += sources[i].json.len;
	}
	fd = memfd_create("weir-policies", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	r = write_all(fd, &head, sizeof(head));
	for (size_t i = 0; i < n && r == 0; i++) {
		struct bundle_entry e = {
			.name_len = (__u32)strlen(sources[i].name) + 1,
			.json_len = (__u32)sources[i].json.len,
		};

		r = write_all(fd, &e, sizeof(e));
	}
	for (size_t i = 0; i < n && r == 0; i++) {
		r = write_all(fd, sources[i].name, strlen(sources[i].name) + 1);
		if (r == 0)
			r = write_all(fd, sources[i].json.ptr, sources[i].json.len);
		if (r == 0)
			r = write_all(fd, "", 1);
	}
	if (r < 0)
		return r;
	r = memfd_seal(fd);
	if (r < 0)
		return r;
	return TAKE_FD(fd);
}

/* The whole file into a fresh allocation. */
static int bundle_slurp(int fd, char **ret, size_t *ret_len)
{
	const size_t most =
		sizeof(struct bundle_head) + POLICY_TEXT_MAX +
		(size_t)BUNDLE_SOURCES_MAX * (sizeof(struct bundle_entry) + BUNDLE_NAME_MAX + 1);
	_cleanup_(free_p) char *mem = NULL;
	size_t len;
	int r = memfd_sealed_len(fd, &len);

	if (r < 0)
		return r;
	if (len < sizeof(struct bundle_head))
		return -EBADMSG;
	if (len > most)
		return -EMSGSIZE;
	mem = malloc(len);
	if (!mem)
		return -ENOMEM;
	r = read_all(fd, mem, len);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(mem);
	*ret_len = len;
	return 0;
}

int ipc_bundle_read(int fd, struct policy_source **ret_sources, size_t *ret_n, void **ret_mem)
{
	_cleanup_(free_p) struct policy_source *sources = NULL;
	_cleanup_(free_p) char *mem = NULL;
	struct bundle_head head;
	size_t len = 0, at, table, total = 0;
	int r;

	r = bundle_slurp(fd, &mem, &len);
	if (r < 0)
		return r;
	memcpy(&head, mem, sizeof(head));
	if (head.magic != BUNDLE_MAGIC)
		return -EBADMSG;
	if (head.n_sources > BUNDLE_SOURCES_MAX)
		return -EMSGSIZE;
	table = sizeof(head);
	at = table + head.n_sources * sizeof(struct bundle_entry);
	if (at > len)
		return -EBADMSG;
	/* One more than needed: no sources at all is not an allocation of 0 bytes. */
	sources = calloc((size_t)head.n_sources + 1, sizeof(*sources));
	if (!sources)
		return -ENOMEM;
	for (size_t i = 0; i < head.n_sources; i++) {
		struct bundle_entry e;

		memcpy(&e, mem + table + i * sizeof(e), sizeof(e));
		if (e.name_len == 0 || e.name_len > BUNDLE_NAME_MAX || e.name_len > len - at ||
		    memchr(mem + at, '\0', e.name_len) != mem + at + e.name_len - 1)
			return -EBADMSG;
		sources[i].name = mem + at;
		at += e.name_len;
		if (e.json_len > POLICY_TEXT_MAX - total)
			return -EMSGSIZE;
		if (e.json_len >= len - at || mem[at + e.json_len] != '\0')
			return -EBADMSG;
		sources[i].json = slice_of(mem + at, e.json_len);
		at += (size_t)e.json_len + 1;
		total += e.json_len;
	}
	if (at != len)
		return -EBADMSG;
	*ret_sources = TAKE_PTR(sources);
	*ret_n = head.n_sources;
	*ret_mem = TAKE_PTR(mem);
	return 0;
}
