/* SPDX-License-Identifier: Apache-2.0 */
/* Policy files as the commands of `weir policy` read them, and how they say what is wrong. */
#ifndef WEIR_CLI_POLICY_FILES_H
#define WEIR_CLI_POLICY_FILES_H

#include <jansson.h>

#include "base/buf.h"
#include "compiler.h"
#include "policy/policy.h"

struct policy_file {
	char *path;
	struct buf text;
};

struct policy_files {
	struct policy_file *at;
	size_t n;
};

void policy_files_done(struct policy_files *f);
/* A file, or all *.json of a directory but hidden ones and schema.json, in order of their names: as
 * the daemon reads them. 0 or a negative errno. */
int policy_files_add(struct policy_files *f, const char *path) __must_check;

/*
 * Compiles a file or directory. CLI_OK with *ret, or CLI_NO told on stderr. *ret_one: the policy of a
 * single file, which is used whatever its "agents" say; NULL for a directory.
 */
int policy_files_compile(const char *path, struct policy_set **ret,
			 const struct policy **ret_one) __must_check;

/* FILE:LINE:COLUMN: message on stderr, or as a line of JSON on stdout. */
void policy_error_print(const struct policy_err *e, bool json);
/* One line of JSON; takes the object. */
void policy_json_line(json_t *take_line);

enum { POLICY_HEX_MAX = 65 };
char *policy_hash_format(const uint8_t hash[32], char out[POLICY_HEX_MAX]);

#endif
