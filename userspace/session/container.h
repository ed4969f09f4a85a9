/* SPDX-License-Identifier: Apache-2.0 */
/* What the path of a cgroup tells about the container in it. */
#ifndef WEIR_SESSION_CONTAINER_H
#define WEIR_SESSION_CONTAINER_H

#include "base/slice.h"

struct container_ref {
	const char *runtime; /* static: "docker", "podman", "containerd", "cri-o", or "" */
	struct slice id;     /* into path; empty = not a container's cgroup */
	struct slice
		pod; /* Kubernetes pod uid as written, systemd's driver has _ for -; or empty */
};

/*
 * Knows the forms of both cgroup drivers: /docker/ID, docker-ID.scope, libpod-ID(.scope),
 * cri-containerd-ID.scope, crio-ID.scope, …/podUID/ID, kubepods-…-podUID.slice. The deepest
 * container in the path counts. ID is 12 to 64 hex digits.
 */
struct container_ref container_from_path(struct slice path);

#endif
