/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who opened a connection, by the kernel's word. Made once per cgroup in the daemon, stored with
 * each session, matched by policies.
 */
#ifndef WEIR_IDENTITY_H
#define WEIR_IDENTITY_H

#include "base/slice.h"

enum {
	IDENTITY_PATH_MAX = 4096,     /* bytes of a cgroup path, NUL included */
	IDENTITY_LABELS_MAX = 32,     /* pairs */
	IDENTITY_LABEL_LEN_MAX = 256, /* bytes of a key or value, NUL included */
};

struct identity_label {
	const char *key, *value;
};

/* All strings NUL-terminated and never NULL ("" = not known), borrowed from the identity's owner. */
struct identity {
	uint64_t cgroup_id;      /* kernel id of the socket's cgroup, unique within one boot */
	const char *cgroup_path; /* absolute within the v2 hierarchy: "/agents.slice/a.scope" */
	const char *boot_id;     /* 36 characters, /proc/sys/kernel/random/boot_id */
	const char *runtime;     /* "docker", "podman", "containerd", "cri-o", "" */
	const char *container;   /* container id as in the path, or the name given to `weir run` */
	const char *image;       /* of the container, as its runtime calls it */
	const char *pod;         /* Kubernetes pod uid */
	const struct identity_label *labels;
	size_t n_labels;
	/* Of the process that called connect(2): */
	uint32_t pid; /* thread group id in the initial pid namespace */
	uint32_t uid; /* in the initial user namespace */
	const char *comm;
	const char *exe; /* path, read when the flow arrives */
	uint64_t netns_cookie;
};

#endif
