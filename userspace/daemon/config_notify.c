// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "daemon/config_int.h"
#include "notify/deliver.h"

_Static_assert((int)DAEMON_WEBHOOKS_MAX == (int)TOKENS_WEBHOOKS_MAX, "each needs a token");

void config_webhooks_free(struct daemon_config *c)
{
	for (unsigned i = 0; i < c->n_webhooks; i++) {
		free(c->webhooks[i].name);
		free(c->webhooks[i].url);
		free(c->webhooks[i].secret);
		free(c->webhooks[i].ca);
	}
	free(c->webhooks);
	free(c->answers_socket);
	free(c->answers_group);
	c->webhooks = NULL;
	c->n_webhooks = 0;
	c->answers_socket = c->answers_group = NULL;
}

static int set(char **field, const char *s, struct daemon_config_err *e)
{
	return daemon_config_set(field, s) < 0 ? config_fail(e, -ENOMEM, "out of memory") : 0;
}

static int take_path(char **field, const char *where, const json_t *v, struct daemon_config_err *e)
{
	if (!json_is_string(v) || json_string_value(v)[0] != '/')
		return config_fail(e, -EINVAL, "%s must be an absolute path", where);
	return set(field, json_string_value(v), e);
}

/* {"file": "/…"}: a secret never stands in the configuration itself. */
static int take_secret(struct daemon_webhook *h, const char *where, const json_t *v,
		       struct daemon_config_err *e)
{
	const json_t *file = json_object_get(v, "file");

	if (!json_is_object(v) || json_object_size(v) != 1 || !file)
		return config_fail(e, -EINVAL, "%s.secret must be {\"file\": PATH}", where);
	if (!json_is_string(file) || json_string_value(file)[0] != '/')
		return config_fail(e, -EINVAL, "%s.secret.file must be an absolute path", where);
	return set(&h->secret, json_string_value(file), e);
}

static int take_events(struct daemon_webhook *h, const char *where, const json_t *v,
		       struct daemon_config_err *e)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(v) || !json_array_size(v))
		return config_fail(e, -EINVAL, "%s.events must be a list of \"held\", \"settled\"",
				   where);
	h->held = h->settled = false;
	json_array_foreach(v, i, item) {
		const char *s = json_string_value(item);
		bool *one = s && strcmp(s, "held") == 0      ? &h->held
			    : s && strcmp(s, "settled") == 0 ? &h->settled
							     : NULL;

		if (!one)
			return config_fail(e, -EINVAL,
					   "%s.events[%zu] must be \"held\" or \"settled\"", where,
					   i);
		if (*one)
			return config_fail(e, -EINVAL, "%s.events names \"%s\" twice", where, s);
		*one = true;
	}
	return 0;
}

/* Letters, digits, "-", "_", ".": it stands in logs and records. */
static bool name_fine(const char *s)
{
	static const char fine[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
	size_t n = strlen(s);

	return n > 0 && n < DELIVER_NAME_MAX && strspn(s, fine) == n;
}

static int take_member(struct daemon_webhook *h, const char *where, const char *key,
		       const json_t *v, struct daemon_config_err *e)
{
	const char *s = json_string_value(v), *why = NULL;
	char path[64];

	if (strcmp(key, "comment") == 0)
		return 0;
	if (strcmp(key, "name") == 0) {
		if (!s || !name_fine(s))
			return config_fail(e, -EINVAL,
					   "%s.name must be 1 to %d letters, digits, \"-_.\"",
					   where, DELIVER_NAME_MAX - 1);
		return set(&h->name, s, e);
	}
	if (strcmp(key, "url") == 0) {
		if (!s)
			return config_fail(e, -EINVAL, "%s.url must be a string", where);
		if (deliver_url_check(s, &why) < 0)
			return config_fail(e, -EINVAL, "%s.url %s", where, why);
		return set(&h->url, s, e);
	}
	if (strcmp(key, "format") == 0) {
		if (!s || (strcmp(s, "json") != 0 && strcmp(s, "slack") != 0))
			return config_fail(e, -EINVAL, "%s.format must be \"json\" or \"slack\"",
					   where);
		h->slack = strcmp(s, "slack") == 0;
		return 0;
	}
	if (strcmp(key, "secret") == 0)
		return take_secret(h, where, v, e);
	if (strcmp(key, "ca") == 0) {
		(void)snprintf(path, sizeof(path), "%s.ca", where); /* fits: where is short */
		return take_path(&h->ca, path, v, e);
	}
	if (strcmp(key, "events") == 0)
		return take_events(h, where, v, e);
	return config_fail(e, -EINVAL, "unknown key \"%s.%s\"", where, key);
}

static int take_webhook(struct daemon_config *c, size_t i, const json_t *v,
			struct daemon_config_err *e)
{
	struct daemon_webhook *h = &c->webhooks[c->n_webhooks++];
	char where[32];
	const char *key;
	json_t *item;
	int r = 0;

	(void)snprintf(where, sizeof(where), "webhooks[%zu]", i);
	*h = (struct daemon_webhook){ .held = true, .settled = true };
	if (!json_is_object(v))
		return config_fail(e, -EINVAL, "%s must be an object", where);
	json_object_foreach((json_t *)v, key, item) {
		r = take_member(h, where, key, item, e);
		if (r < 0)
			return r;
	}
	if (!h->name || !h->url || !h->secret)
		return config_fail(e, -EINVAL, "%s needs \"name\", \"url\" and \"secret\"", where);
	for (size_t k = 0; k < i; k++)
		if (strcmp(c->webhooks[k].name, h->name) == 0)
			return config_fail(e, -EINVAL, "%s.name: \"%s\" is another's already",
					   where, h->name);
	return 0;
}

int config_take_webhooks(struct daemon_config *c, const json_t *v, struct daemon_config_err *e)
{
	const json_t *item;
	size_t i;
	int r;

	if (!json_is_array(v))
		return config_fail(e, -EINVAL, "\"webhooks\" must be a list of objects");
	if (json_array_size(v) > DAEMON_WEBHOOKS_MAX)
		return config_fail(e, -EINVAL, "\"webhooks\": at most %d", DAEMON_WEBHOOKS_MAX);
	if (!json_array_size(v))
		return 0;
	c->webhooks = calloc(DAEMON_WEBHOOKS_MAX, sizeof(*c->webhooks));
	if (!c->webhooks)
		return config_fail(e, -ENOMEM, "out of memory");
	json_array_foreach(v, i, item) {
		r = take_webhook(c, i, item, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* "0660": nine permission bits in octal, none of which lets anybody execute. */
static int take_mode(struct daemon_config *c, const json_t *v, struct daemon_config_err *e)
{
	const char *s = json_string_value(v);
	unsigned mode = 0;

	if (!s || strlen(s) != 4 || s[0] != '0' || strspn(s, "01234567") != 4)
		return config_fail(e, -EINVAL, "\"answers.mode\" must be like \"0660\"");
	for (const char *p = s; *p; p++)
		mode = mode << 3 | (unsigned)(*p - '0');
	if (mode & 0111)
		return config_fail(e, -EINVAL, "\"answers.mode\": a socket is not executed");
	c->answers_mode = mode;
	return 0;
}

int config_take_answers(struct daemon_config *c, const json_t *v, struct daemon_config_err *e)
{
	const char *key;
	json_t *item;
	int r = 0;

	if (!json_is_object(v))
		return config_fail(e, -EINVAL, "\"answers\" must be an object");
	c->answers_mode = 0660;
	json_object_foreach((json_t *)v, key, item) {
		if (strcmp(key, "comment") == 0)
			continue;
		if (strcmp(key, "socket") == 0)
			r = take_path(&c->answers_socket, "\"answers.socket\"", item, e);
		else if (strcmp(key, "mode") == 0)
			r = take_mode(c, item, e);
		else if (strcmp(key, "group") == 0)
			r = json_is_string(item) && json_string_length(item)
				    ? set(&c->answers_group, json_string_value(item), e)
				    : config_fail(e, -EINVAL,
						  "\"answers.group\" must be a group's name");
		else
			r = config_fail(e, -EINVAL, "unknown key \"answers.%s\"", key);
		if (r < 0)
			return r;
	}
	if (!c->answers_socket)
		return config_fail(e, -EINVAL, "\"answers\" needs \"socket\"");
	return c->answers_group ? 0 : set(&c->answers_group, "", e);
}
