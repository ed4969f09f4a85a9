/* SPDX-License-Identifier: Apache-2.0 */
/* The CLI's end of the control socket (docs/control-socket.md), and what several commands share. */
#ifndef WEIR_CLI_CLIENT_H
#define WEIR_CLI_CLIENT_H

#include <jansson.h>

#include "cli/cli.h"
#include "compiler.h"

/* Connects. The descriptor, or a negative errno (-ENOENT, -ECONNREFUSED: no daemon there). */
int client_open(const char *socket) __must_check;
/* Says that client_open failed with err (negative), and what to do. CLI_UNREACHABLE. */
int client_unreachable(const char *socket, int err);
/*
 * Sends one request (taken over, NULL = no memory) and waits for its answer, for up to a minute; while
 * the proxy restarts ("restarting") it is asked again for some seconds. 0 with *ret, which has "ok":
 * true; -EREMOTEIO the daemon refused, *ret has "error" and "code"; another negative errno without.
 */
int client_ask(int fd, json_t *take_request, json_t **ret) __must_check;
/* The same over a connection of its own, errors told on stderr: CLI_OK with *ret, CLI_NO, or
 * CLI_UNREACHABLE. */
int client_call(const char *socket, json_t *take_request, json_t **ret) __must_check;
/* The text in a refusal. */
const char *client_error(const json_t *answer);

/*
 * Reads a policy file, compiles it to find errors while line and column can be named, and makes the
 * "policy" of an attach request of it. It must hold exactly one policy. CLI_OK, or CLI_NO told on stderr.
 */
int client_policy(const char *path, json_t **ret) __must_check;
/* "K=V" into labels. CLI_OK, or CLI_USAGE told on stderr. */
int client_label(const struct cli_command *cmd, json_t *labels, const char *text) __must_check;

/*
 * What people call a cgroup: a path within the v2 hierarchy ("/a/b", "a/b") or one in the file system.
 * CLI_OK with the clean path within the hierarchy, or CLI_NO told on stderr.
 */
int client_cgroup(const char *text, bool must_exist, char *ret, size_t size) __must_check;

#endif
