/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is who: attached cgroups, the policies in force, the names by which addresses are known. One
 * registry a process; the main thread changes it, the workers ask. All calls are thread-safe.
 */
#ifndef WEIR_SESSION_AGENTS_H
#define WEIR_SESSION_AGENTS_H

#include "identity.h"
#include "base/buf.h"
#include "policy/policy.h"

/*
 * The identity of one cgroup and the policy that holds for it: immutable, refcounted. The process
 * fields of id (pid, uid, comm, exe, netns_cookie) are empty (uid: UINT32_MAX, nobody): they belong to a
 * connection.
 */
struct agent {
	struct identity id;
	struct policy_set *set;      /* holds policy alive */
	const struct policy *policy; /* NULL: none matches, refuse everything */
	unsigned _refs;
	char *_mem;
	bool wants_exe;       /* its policies look at the program: see programs.h */
	bool _per_connection; /* policies ask for more than the cgroup */
	struct agent *_of;    /* whose strings these are, when made for one connection */
};
struct agent *agent_ref(struct agent *a);
struct agent *agent_unref(struct agent *a);

struct agents;

/* boot_id is copied. 0 or -ENOMEM. */
int agents_new(const char *boot_id, struct agents **ret) __must_check;
struct agents *agents_free(struct agents *r);

/* Replaces the daemon's own policies (the reference moves in). Connections that stand are
 * judged by it from their next operation on. Resolves the names in "hosts". */
void agents_set_policies(struct agents *r, struct policy_set *take_set);

/*
 * A cgroup is attached: it and all below belong to it, unless a nearer one is attached too.
 * own: policies of this agent alone, exactly one, or NULL (the reference moves in on success).
 * Adding the same cgroup again replaces. 0, -ENOMEM, -EINVAL for own with another number than one.
 */
int agents_attach(struct agents *r, uint64_t cgroup_id, const char *path, const char *container,
		  const char *image, const struct identity_label *labels, size_t n_labels,
		  struct policy_set *own) __must_check;
/*
 * Count changes: of policies or attachments (what a lookup gave before may be another now), and of
 * detachments alone. Read before a lookup, and compared before its answer is used again.
 */
uint64_t agents_generation(const struct agents *r);
uint64_t agents_detachments(const struct agents *r);

/* 0 or -ENOENT. */
int agents_detach(struct agents *r, uint64_t cgroup_id) __must_check;

/*
 * The agent behind a cgroup id, with a reference for the caller. 0; -EAGAIN the path of this id is
 * not known yet: it was put on the list of agents_wanted, ask again after agents_resolved; -EACCES it
 * lies below no attached cgroup, or is gone; -ENOMEM; -ENOBUFS too many ids are being resolved.
 */
int agents_lookup(struct agents *r, uint64_t cgroup_id, struct agent **ret) __must_check;
/* The same for a connection, by its cgroup_id, uid and exe: where policies are for users or programs,
 * its policy may be another than that of its cgroup. */
int agents_lookup_connection(struct agents *r, const struct identity *connection,
			     struct agent **ret) __must_check;
/* An eventfd, readable while ids wait to be resolved; owned by r. */
int agents_wanted_fd(const struct agents *r);
/* The next id to resolve: 1, or 0 when there is none (which makes the eventfd quiet). */
int agents_wanted(struct agents *r, uint64_t *ret_cgroup_id);
/* path NULL: there is no such cgroup. */
void agents_resolved(struct agents *r, uint64_t cgroup_id, const char *path);

/* The target of a's policy for dst; NULL: refused. Lives as long as a. */
const struct policy_target *agents_target(struct agents *r, const struct agent *a,
					  const struct addr *dst);

/* Appends the names by which the policies know an address, each with a NUL behind it, as many as
 * fit. 0 or -ENOMEM. */
int agents_names(struct agents *r, const struct addr *dst, struct buf *names) __must_check;

/* Looks all names of the policies up again. Blocks on DNS: for a background thread. */
void agents_refresh_names(struct agents *r);

#endif
