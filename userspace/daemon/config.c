// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/slice.h"
#include "daemon/config_int.h"
#include "daemon/file.h"

int daemon_config_set(char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

int daemon_config_init(struct daemon_config *c)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	*c = (struct daemon_config){
		.workers = cpus < 1 ? 1 : (unsigned)MIN(cpus, (long)DAEMON_WORKERS_MAX),
		.ready_fd = -1,
	};
	if (daemon_config_set(&c->store, DAEMON_STORE_DIR) == 0 &&
	    daemon_config_set(&c->socket, DAEMON_RUNTIME_DIR "/weir.sock") == 0 &&
	    daemon_config_set(&c->runtime_dir, DAEMON_RUNTIME_DIR) == 0 &&
	    daemon_config_set(&c->user, "") == 0 && daemon_config_set(&c->control_group, "") == 0)
		return 0;
	daemon_config_done(c);
	return -ENOMEM;
}

void daemon_config_done(struct daemon_config *c)
{
	free(c->store);
	free(c->socket);
	free(c->runtime_dir);
	free(c->user);
	free(c->control_group);
	for (unsigned i = 0; i < c->n_policies; i++)
		free(c->policies[i]);
	free(c->policies);
	config_webhooks_free(c);
	*c = (struct daemon_config){ .ready_fd = -1 };
}

int daemon_config_add_policy(struct daemon_config *c, const char *path)
{
	char **grown;

	c->policies_given = true;
	if (c->n_policies == DAEMON_POLICIES_MAX)
		return -EMSGSIZE;
	grown = reallocarray(c->policies, c->n_policies + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->policies = grown;
	grown[c->n_policies] = strdup(path);
	if (!grown[c->n_policies])
		return -ENOMEM;
	c->n_policies++;
	return 0;
}

int config_fail(struct daemon_config_err *e, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(e->message, sizeof(e->message), fmt, ap); /* cut is fine: for people */
	va_end(ap);
	return status;
}

static int take_path(char **field, const char *key, const json_t *v, struct daemon_config_err *e)
{
	if (!json_is_string(v) || json_string_value(v)[0] != '/')
		return config_fail(e, -EINVAL, "\"%s\" must be an absolute path", key);
	if (daemon_config_set(field, json_string_value(v)) < 0)
		return config_fail(e, -ENOMEM, "out of memory");
	return 0;
}

static int take_policies(struct daemon_config *c, const json_t *v, struct daemon_config_err *e)
{
	const json_t *item;
	size_t i;
	int r;

	if (!json_is_array(v))
		return config_fail(e, -EINVAL,
				   "\"policies\" must be a list of files and directories");
	for (i = 0; i < c->n_policies; i++)
		free(c->policies[i]);
	c->n_policies = 0;
	c->policies_given = true;
	json_array_foreach(v, i, item) {
		if (!json_is_string(item) || json_string_value(item)[0] != '/')
			return config_fail(e, -EINVAL,
					   "\"policies\": entry %zu is no absolute path", i + 1);
		r = daemon_config_add_policy(c, json_string_value(item));
		if (r < 0)
			return config_fail(e, r, "\"policies\": %s",
					   r == -EMSGSIZE ? "too many entries" : "out of memory");
	}
	return 0;
}

static int take_record(struct daemon_config *c, const json_t *v, struct daemon_config_err *e)
{
	const char *key;
	json_t *item;

	if (!json_is_object(v))
		return config_fail(e, -EINVAL, "\"record\" must be an object");
	json_object_foreach((json_t *)v, key, item) {
		const char *s = json_string_value(item);

		if (strcmp(key, "sync") != 0)
			return config_fail(e, -EINVAL, "unknown key \"record.%s\"", key);
		if (!s || (strcmp(s, "interval") != 0 && strcmp(s, "operation") != 0))
			return config_fail(e, -EINVAL,
					   "\"record.sync\" must be \"interval\" or \"operation\"");
		c->sync_each = strcmp(s, "operation") == 0;
	}
	return 0;
}

static int take_control(struct daemon_config *c, const json_t *v, struct daemon_config_err *e)
{
	const char *key;
	json_t *item;

	if (!json_is_object(v))
		return config_fail(e, -EINVAL, "\"control\" must be an object");
	json_object_foreach((json_t *)v, key, item) {
		if (strcmp(key, "comment") == 0)
			continue;
		if (strcmp(key, "group") != 0)
			return config_fail(e, -EINVAL, "unknown key \"control.%s\"", key);
		if (!json_is_string(item) || !json_string_length(item))
			return config_fail(e, -EINVAL, "\"control.group\" must be a group's name");
		if (daemon_config_set(&c->control_group, json_string_value(item)) < 0)
			return config_fail(e, -ENOMEM, "out of memory");
	}
	return 0;
}

static int take(struct daemon_config *c, const char *key, const json_t *v,
		struct daemon_config_err *e)
{
	if (strcmp(key, "comment") == 0)
		return 0;
	if (strcmp(key, "store") == 0)
		return take_path(&c->store, key, v, e);
	if (strcmp(key, "socket") == 0)
		return take_path(&c->socket, key, v, e);
	if (strcmp(key, "runtime_dir") == 0)
		return take_path(&c->runtime_dir, key, v, e);
	if (strcmp(key, "policies") == 0)
		return take_policies(c, v, e);
	if (strcmp(key, "record") == 0)
		return take_record(c, v, e);
	if (strcmp(key, "control") == 0)
		return take_control(c, v, e);
	if (strcmp(key, "user") == 0) {
		if (!json_is_string(v) || !json_string_length(v))
			return config_fail(e, -EINVAL, "\"user\" must be a user's name");
		return daemon_config_set(&c->user, json_string_value(v)) < 0
			       ? config_fail(e, -ENOMEM, "out of memory")
			       : 0;
	}
	if (strcmp(key, "workers") == 0) {
		json_int_t n = json_integer_value(v);

		if (!json_is_integer(v) || n < 1 || n > DAEMON_WORKERS_MAX)
			return config_fail(e, -EINVAL, "\"workers\" must be a number from 1 to %d",
					   DAEMON_WORKERS_MAX);
		c->workers = (unsigned)n;
		return 0;
	}
	if (strcmp(key, "webhooks") == 0)
		return config_take_webhooks(c, v, e);
	if (strcmp(key, "answers") == 0)
		return config_take_answers(c, v, e);
	return config_fail(e, -EINVAL, "unknown key \"%s\"", key);
}

int daemon_config_load(struct daemon_config *c, const char *path, struct daemon_config_err *reterr)
{
	struct daemon_config_err why = { "" };
	_cleanup_(free_p) char *text = NULL;
	json_error_t je;
	const char *key;
	json_t *root, *v;
	size_t len;
	int r;

	r = file_read(AT_FDCWD, path, DAEMON_FILE_MAX, &text, &len);
	if (r == -ENOENT)
		return r;
	if (r < 0)
		return config_fail(reterr, r, "%s: %s", path, strerror(-r));
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	if (!root)
		return config_fail(reterr, -EINVAL, "%s:%d:%d: %s", path, je.line, je.column,
				   je.text);
	if (!json_is_object(root))
		r = config_fail(&why, -EINVAL, "must be a JSON object");
	json_object_foreach(root, key, v) {
		r = take(c, key, v, &why);
		if (r < 0)
			break;
	}
	json_decref(root);
	if (r == 0 && c->answers_socket && !c->n_webhooks)
		r = config_fail(&why, -EINVAL,
				"\"answers\" need \"webhooks\", which bring the tokens");
	if (r < 0)
		return config_fail(reterr, r, "%s: %s", path, why.message);
	return 0;
}
