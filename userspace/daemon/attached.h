/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the warden knows of one attached cgroup, and the small file that lets the next warden know it
 * as well: RUNTIME/agents/ID.json, written before the hooks go on, so that hooks without a file mean
 * that something was lost (and everything is refused), never that a policy was forgotten.
 */
#ifndef WEIR_DAEMON_ATTACHED_H
#define WEIR_DAEMON_ATTACHED_H

#include <jansson.h>
#include <linux/types.h>

#include "base/list.h"
#include "daemon/ipc.h"
#include "identity.h"

enum { ATTACHED_MAX = 4096 /* agents; more would make a restart take minutes */ };

struct attached {
	struct list_node node;
	__u64 cgroup_id;
	__u64 since_ns; /* realtime */
	json_t *doc; /* as in the file and in control requests: cgroup, container, labels, policy */
	__u64 owner; /* control client to whose connection it is bound; 0 = none */
	bool lost;   /* no usable file: everything is refused until it is attached again */
	bool ending; /* its owner is gone: killed, then detached */
};

/*
 * Checks a request's fields (cgroup, container, labels, policy; no others are looked at) and makes one
 * of them; cgroup must be clean. 0; -EINVAL with *reterr, a static string; -ENOMEM.
 */
int attached_new(const json_t *request, __u64 cgroup_id, __u64 since_ns, struct attached **ret,
		 const char **reterr) __must_check;
/* One of which nothing is known but its path. 0 or -ENOMEM. */
int attached_new_lost(const char *cgroup, __u64 cgroup_id, __u64 since_ns,
		      struct attached **ret) __must_check;
struct attached *attached_free(struct attached *a);
DEFINE_CLEANUP(struct attached, attached_free);

const char *attached_path(const struct attached *a);
/* Fills an IPC_AGENT; m->fds[0] becomes the bundle, owned by m. 0 or -errno. */
int attached_to_msg(const struct attached *a, struct ipc_msg *m) __must_check;

/* The file of one; -errno. */
int attached_save(const struct attached *a, int dir_fd, const char *boot_id) __must_check;
/* Reads one back. 0; -ENOENT; -ESTALE of another boot or cgroup; -EBADMSG; -ENOMEM. */
int attached_load(int dir_fd, __u64 cgroup_id, const char *path, const char *boot_id,
		  struct attached **ret) __must_check;
/* Removes the file, if there is one. */
void attached_forget(int dir_fd, __u64 cgroup_id);
/* "123.json" → 123; 0 when it is no such name. */
__u64 attached_file_id(const char *name);

#endif
