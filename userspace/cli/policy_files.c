// SPDX-License-Identifier: Apache-2.0
#include "policy_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

void policy_files_done(struct policy_files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->at[i].path);
		buf_done(&f->at[i].text);
	}
	free(f->at);
}

/* Reads all of a file, one byte past the limit at most, so that the compiler sees it is too long. */
static int file_read(const char *path, struct buf *ret)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (buf_room(ret) > 0) {
		uint8_t *p;
		size_t space;
		ssize_t n;
		int r = buf_reserve(ret, 1, &p, &space);

		if (r < 0)
			return r;
		n = read(fd, p, space);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		buf_commit(ret, (size_t)n);
	}
	return 0;
}

static int file_add(struct policy_files *f, const char *path)
{
	struct policy_file *grown = realloc(f->at, (f->n + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	f->at = grown;
	f->at[f->n].path = slice_dup(slice_str(path));
	if (!f->at[f->n].path)
		return -ENOMEM;
	buf_init(&f->at[f->n].text, POLICY_TEXT_MAX + 1);
	f->n++;
	return file_read(path, &f->at[f->n - 1].text);
}

static int is_policy_file(const struct dirent *e)
{
	return policy_is_file_name(e->d_name);
}

/* All *.json of a directory but schema.json, in order of their names. */
static int directory_add(struct policy_files *f, const char *path)
{
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, is_policy_file, alphasort);
	int r = n < 0 ? -errno : 0;

	for (int i = 0; i < n; i++) {
		char *full = NULL;

		if (r == 0 && asprintf(&full, "%s/%s", path, entries[i]->d_name) < 0)
			r = -ENOMEM;
		if (r == 0)
			r = file_add(f, full);
		free(full);
		free(entries[i]);
	}
	free(entries);
	return r;
}

int policy_files_add(struct policy_files *f, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? directory_add(f, path) : file_add(f, path);
}

void policy_json_line(json_t *take_line)
{
	if (take_line) {
		(void)json_dumpf(take_line, stdout, JSON_COMPACT); /* stdout is checked at exit */
		putchar('\n');
	}
	json_decref(take_line);
}

void policy_error_print(const struct policy_err *e, bool json)
{
	if (json)
		policy_json_line(json_pack("{s:s, s:s, s:i, s:i, s:s}", "file", e->source,
					   "severity", "error", "line", (int)e->line, "column",
					   (int)e->column, "message", e->message));
	else if (e->line)
		fprintf(stderr, "%s:%u:%u: %s\n", e->source, e->line, e->column, e->message);
	else
		fprintf(stderr, "%s: %s\n", e->source, e->message);
}

/* Where it cannot be read or compiled: told. */
static int compile_all(const struct policy_files *f, const char *path, struct policy_set **ret)
{
	struct policy_source *all = calloc(f->n, sizeof(*all));
	struct policy_err err;
	int r;

	if (!all)
		return cli_fail(CLI_NO, "%s: %s", path, strerror(ENOMEM));
	for (size_t i = 0; i < f->n; i++)
		all[i] = (struct policy_source){ f->at[i].path, buf_peek(&f->at[i].text) };
	r = policy_set_compile(all, f->n, ret, &err);
	free(all);
	if (r == -ENOMEM)
		return cli_fail(CLI_NO, "%s: %s", path, strerror(ENOMEM));
	if (r < 0)
		policy_error_print(&err, false);
	return r < 0 ? CLI_NO : CLI_OK;
}

int policy_files_compile(const char *path, struct policy_set **ret, const struct policy **ret_one)
{
	_cleanup_(policy_files_done) struct policy_files files = { 0 };
	struct policy_set *set;
	struct stat st;
	int r = policy_files_add(&files, path);

	if (r < 0)
		return cli_fail(CLI_NO, "%s: %s", path, strerror(-r));
	if (files.n == 0)
		return cli_fail(CLI_NO, "%s: no *.json in this directory", path);
	r = compile_all(&files, path, &set);
	if (r != CLI_OK)
		return r;
	*ret = set;
	*ret_one = stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? NULL : policy_set_at(set, 0);
	return CLI_OK;
}

char *policy_hash_format(const uint8_t hash[32], char out[POLICY_HEX_MAX])
{
	for (size_t i = 0; i < 32; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", hash[i]);
	return out;
}
