// SPDX-License-Identifier: Apache-2.0
#include "cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "bpfctl/bpfctl.h"
#include "daemon/cgroup.h"
#include "daemon/file.h"
#include "identity.h"
#include "policy/policy.h"

enum { ANSWER_MAX = 64 * 1024 * 1024, ANSWER_TIMEOUT_MS = 60 * 1000, BUSY_TRIES = 50 };

int client_open(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_(close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int send_line(int fd, const json_t *request)
{
	_cleanup_(free_p) char *text = json_dumps(request, JSON_COMPACT);
	struct slice s = slice_str(text);

	if (!text)
		return -ENOMEM;
	while (s.len) {
		ssize_t n = send(fd, s.ptr, s.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s = slice_from(s, (size_t)n);
	}
	return send(fd, "\n", 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static int read_line(int fd, json_t **ret)
{
	__u64 deadline = clock_monotonic_ns() + ANSWER_TIMEOUT_MS * NSEC_PER_MSEC;
	ptrdiff_t end = -1;
	struct buf b;
	int r = 0;

	buf_init(&b, ANSWER_MAX);
	while (end < 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		__u64 now = clock_monotonic_ns();
		uint8_t *at;
		size_t space;
		ssize_t n;

		r = now >= deadline ? 0 : poll(&p, 1, (int)((deadline - now) / NSEC_PER_MSEC) + 1);
		if (r < 0 && errno == EINTR)
			continue;
		r = r < 0 ? -errno : r == 0 ? -ETIMEDOUT : buf_reserve(&b, 4096, &at, &space);
		if (r < 0)
			break;
		n = recv(fd, at, space, 0);
		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0 ? -errno : n == 0 ? -ECONNRESET : 0;
		if (r < 0)
			break;
		buf_commit(&b, (size_t)n);
		end = at[n - 1] == '\n' ? (ptrdiff_t)buf_len(&b) - 1 : -1;
	}
	if (r == 0) {
		*ret = json_loadb((const char *)buf_peek(&b).ptr, (size_t)end, 0, NULL);
		r = *ret ? 0 : -EBADMSG;
	}
	buf_done(&b);
	return r;
}

const char *client_error(const json_t *answer)
{
	const char *s = json_string_value(json_object_get(answer, "error"));

	return s ? s : "the daemon gave no reason";
}

int client_ask(int fd, json_t *take_request, json_t **ret)
{
	const struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };
	int r = take_request ? 0 : -ENOMEM;

	for (int i = 0; r == 0 && i < BUSY_TRIES; i++) {
		const char *code;
		json_t *answer = NULL;

		r = send_line(fd, take_request);
		if (r == 0)
			r = read_line(fd, &answer);
		if (r < 0)
			break;
		if (json_is_true(json_object_get(answer, "ok"))) {
			json_decref(take_request);
			*ret = answer;
			return 0;
		}
		code = json_string_value(json_object_get(answer, "code"));
		if (!code || strcmp(code, "restarting") != 0 || i == BUSY_TRIES - 1) {
			json_decref(take_request);
			*ret = answer;
			return -EREMOTEIO;
		}
		json_decref(answer);
		nanosleep(&pause, NULL);
	}
	json_decref(take_request);
	return r;
}

int client_unreachable(const char *socket, int err)
{
	return cli_fail(CLI_UNREACHABLE, "no daemon answers on %s: %s%s", socket, strerror(-err),
			err == -EACCES ? " (try as root)" : "; start one with `weir daemon`");
}

int client_call(const char *socket, json_t *take_request, json_t **ret)
{
	_cleanup_(close_p) int fd = client_open(socket);
	json_t *answer = NULL;
	int r;

	if (fd < 0) {
		json_decref(take_request);
		return client_unreachable(socket, fd);
	}
	r = client_ask(fd, take_request, &answer);
	if (r == -EREMOTEIO) {
		(void)cli_fail(CLI_NO, "%s", client_error(answer));
		json_decref(answer);
		return CLI_NO;
	}
	if (r < 0)
		return cli_fail(CLI_UNREACHABLE, "the daemon on %s does not answer: %s", socket,
				strerror(-r));
	*ret = answer;
	return CLI_OK;
}

int client_policy(const char *path, json_t **ret)
{
	_cleanup_(free_p) char *text = NULL;
	struct policy_set *set = NULL;
	struct policy_source src = { .name = path };
	struct policy_err err;
	json_t *policy = NULL;
	size_t len;
	int r = file_read(AT_FDCWD, path, POLICY_TEXT_MAX, &text, &len);

	if (r < 0)
		return cli_fail(CLI_NO, "%s: %s", path, strerror(-r));
	src.json = slice_of(text, len);
	memset(&err, 0, sizeof(err));
	r = policy_set_compile(&src, 1, &set, &err);
	if (r < 0)
		return cli_fail(CLI_NO, "%s:%u:%u: %s", path, err.line, err.column,
				err.message[0] ? err.message : strerror(-r));
	if (policy_set_count(set) != 1)
		r = cli_fail(CLI_NO, "%s: holds %zu policies, it must be one", path,
			     policy_set_count(set));
	else
		policy = json_pack("{ss,ss,ss%}", "name", policy_name(policy_set_at(set, 0)),
				   "source", path, "text", text, len);
	policy_set_unref(set);
	if (r != 0)
		return r;
	if (!policy)
		return cli_fail(CLI_NO, "%s: cannot be sent (the path must be UTF-8)", path);
	*ret = policy;
	return CLI_OK;
}

int client_label(const struct cli_command *cmd, json_t *labels, const char *text)
{
	const char *eq = strchr(text, '=');
	char key[IDENTITY_LABEL_LEN_MAX];

	if (!eq || eq == text)
		return cli_usage(cmd, "--label %s: write KEY=VALUE", text);
	if ((size_t)(eq - text) >= sizeof(key) || strlen(eq + 1) >= IDENTITY_LABEL_LEN_MAX)
		return cli_usage(cmd, "--label %s: longer than %d bytes", text,
				 IDENTITY_LABEL_LEN_MAX - 1);
	memcpy(key, text, (size_t)(eq - text));
	key[eq - text] = '\0';
	if (json_object_set_new(labels, key, json_string(eq + 1)) < 0)
		return cli_usage(cmd, "--label %s: is not UTF-8", text);
	if (json_object_size(labels) > IDENTITY_LABELS_MAX)
		return cli_usage(cmd, "more than %d labels", IDENTITY_LABELS_MAX);
	return CLI_OK;
}

enum kind { KIND_NONE, KIND_V2, KIND_V1, KIND_OTHER };

/* What the file system has under this name; for v2 its id. */
static enum kind look(const char *path, __u64 *ret_id)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0)
		return errno == ENOTDIR ? KIND_OTHER : KIND_NONE;
	if (fstatfs(fd, &fs) < 0)
		return KIND_OTHER;
	if (fs.f_type == CGROUP_SUPER_MAGIC)
		return KIND_V1;
	if (fs.f_type != CGROUP2_SUPER_MAGIC || bpfctl_cgroup_id(fd, ret_id) < 0)
		return KIND_OTHER;
	return KIND_V2;
}

int client_cgroup(const char *text, bool must_exist, char *ret, size_t size)
{
	const char *root = bpfctl_cgroup_root();
	enum kind kind;
	char clean[CGROUP_PATH_MAX];
	__u64 id;
	int fd, r;

	if (!root)
		return cli_fail(CLI_NO, "no cgroup v2 hierarchy is mounted");
	/* As a path in the file system first; nothing there means as one within the hierarchy. */
	kind = look(text, &id);
	if (kind == KIND_V2) {
		r = bpfctl_cgroup_path(id, ret, size);
		return r == 0 ? CLI_OK : cli_fail(CLI_NO, "%s: %s", text, strerror(-r));
	}
	if (kind == KIND_V1)
		return cli_fail(CLI_NO, "%s: is a cgroup of version 1; Weir needs one below %s",
				text, root);
	/* "/sys/fs/cgroup/x" of one that is gone by now. */
	if (strncmp(text, root, strlen(root)) == 0 && text[strlen(root)] == '/')
		text += strlen(root);
	r = cgroup_path_clean(text, clean);
	if (r < 0 || strlen(clean) >= size)
		return cli_fail(CLI_NO, "%s: is no cgroup's path%s", text,
				r == -EINVAL ? " (\".\" and \"..\" may not stand in it)" : "");
	fd = cgroup_open(clean);
	if (fd >= 0)
		close(fd);
	else if (kind == KIND_OTHER && text[0] == '/')
		return cli_fail(CLI_NO, "%s: is not a cgroup (the v2 hierarchy is at %s)", text,
				root);
	else if (must_exist)
		return cli_fail(CLI_NO, "%s: there is no such cgroup below %s", text, root);
	memcpy(ret, clean, strlen(clean) + 1);
	return CLI_OK;
}
