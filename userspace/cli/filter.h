/* SPDX-License-Identifier: Apache-2.0 */
/* The options that all commands share which read the store. */
#ifndef WEIR_CLI_FILTER_H
#define WEIR_CLI_FILTER_H

#include "cli.h"
#include "store/store.h"

struct cli_filter {
	const char *store; /* --store */
	bool json, reverse;
	struct store_query query; /* strings point into argv, or into label */
	char label[512];
	/* replay's own: */
	double speed; /* --speed, 1 = as it was */
	bool step, no_wait;
};

enum { CLI_GO_ON = -1 };
enum cli_filter_set { CLI_FILTER_ONE, CLI_FILTER_REPLAY, CLI_FILTER_MANY };

/* CLI_GO_ON with *ret and optind at the first argument that is no option, or the exit status. */
int cli_filter_parse(const struct cli_command *cmd, int argc, char **argv, enum cli_filter_set set,
		     struct cli_filter *ret);

#define CLI_FILTER_ARGS                                                                      \
	"[--cgroup P] [--container C] [--target T] [--protocol P] [--verdict V] [--rule R] " \
	"[--label K=V] [--since T] [--until T] [--limit N] [--reverse] [--store DIR] [--json]"

#define CLI_FILTER_HELP                                                                         \
	"  --cgroup PATH      sessions of this cgroup and those below it; a glob is fine\n"     \
	"  --container NAME   container name or id (a glob, or at least 12 digits of the id)\n" \
	"  --target NAME      the policy's target (a glob is fine)\n"                           \
	"  --protocol NAME    postgres, http, tcp\n"                                            \
	"  --verdict V        with an operation that was allow, hold or block\n"                \
	"  --rule ID          with an operation that this rule decided\n"                       \
	"  --label K[=V]      agents with this label\n"                                         \
	"  --since T, --until T\n"                                                              \
	"                     begun in this time: 15m, 2h, 7d (ago), 2026-01-31,\n"             \
	"                     2026-01-31T10:00:00Z, @seconds\n"                                 \
	"  --limit N          at most N\n"                                                      \
	"  --reverse          oldest first (ordinarily newest first)\n"                         \
	"  --store DIR        another store than $WEIR_STORE or /var/lib/weir/store\n"          \
	"  --json             one JSON object a line\n"

/* 0 with an open store, or CLI_UNREACHABLE after saying why. Root opens it as the user it belongs to. */
int cli_store_open(const struct cli_filter *f, struct store **ret);
/* The same, and root stays that user: for commands that need nothing else from then on. */
int cli_store_open_only(const struct cli_filter *f, struct store **ret);
/* Both, without words: 0 or as store_open. */
int cli_store_open_owned(const struct store_config *cfg, bool for_good, struct store **ret);
/* A session by ID prefix, "latest" or "@N" (the N-th newest). 0, or the exit status after saying why. */
int cli_session_find(const struct cli_command *cmd, struct store *s, const char *what,
		     struct store_session *ret, void **ret_mem);
/* After a listing: closes stdout's account. Returns the exit status. */
int cli_listing_status(int err, size_t n, size_t damaged);

#endif
