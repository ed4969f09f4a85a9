// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/config.h"

static char path[] = "/tmp/weir-test-config.XXXXXX";

static int setup(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	return unlink(path);
}

static int load(const char *text, struct daemon_config *c, struct daemon_config_err *e)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(daemon_config_init(c), 0);
	return daemon_config_load(c, path, e);
}

static void test_everything(void **state)
{
	struct daemon_config_err e;
	struct daemon_config c;

	assert_int_equal(load("{\"store\": \"/s\", \"socket\": \"/a/b\", \"runtime_dir\": \"/r\","
			      "\"policies\": [\"/p/1\", \"/p/2\"], \"workers\": 3, \"user\": \"u\","
			      "\"record\": {\"sync\": \"operation\"}, \"comment\": [1]}",
			      &c, &e),
			 0);
	assert_string_equal(c.store, "/s");
	assert_string_equal(c.socket, "/a/b");
	assert_string_equal(c.runtime_dir, "/r");
	assert_string_equal(c.user, "u");
	assert_int_equal(c.n_policies, 2);
	assert_string_equal(c.policies[1], "/p/2");
	assert_true(c.policies_given && c.sync_each);
	assert_int_equal(c.workers, 3);
	daemon_config_done(&c);
}

static void test_defaults(void **state)
{
	struct daemon_config_err e;
	struct daemon_config c;

	assert_int_equal(load("{}", &c, &e), 0);
	assert_string_equal(c.store, DAEMON_STORE_DIR);
	assert_false(c.policies_given || c.sync_each || c.detach_on_exit);
	assert_int_equal(c.ready_fd, -1);
	assert_in_range(c.workers, 1, DAEMON_WORKERS_MAX);
	assert_int_equal(daemon_config_load(&c, "/no/such/file", &e), -ENOENT);
	daemon_config_done(&c);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "", ":" },
		{ "[]", "must be a JSON object" },
		{ "{\"stoer\": \"/s\"}", "unknown key \"stoer\"" },
		{ "{\"store\": \"relative\"}", "absolute" },
		{ "{\"store\": 1}", "absolute" },
		{ "{\"store\": \"/a\", \"store\": \"/b\"}", "uplicate" },
		{ "{\"workers\": 0}", "from 1 to" },
		{ "{\"workers\": 65}", "from 1 to" },
		{ "{\"workers\": \"2\"}", "from 1 to" },
		{ "{\"policies\": \"/p\"}", "list" },
		{ "{\"policies\": [\"/p\", 1]}", "entry 2" },
		{ "{\"record\": 1}", "object" },
		{ "{\"record\": {\"sync\": \"never\"}}", "record.sync" },
		{ "{\"record\": {\"snyc\": \"interval\"}}", "unknown key \"record.snyc\"" },
		{ "{\"user\": \"\"}", "user" },
		{ "{\n  \"store\": }", ":2:" },
	};
	struct daemon_config_err e;
	struct daemon_config c;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(&e, 0, sizeof(e));
		assert_int_equal(load(bad[i].text, &c, &e), -EINVAL);
		assert_non_null(strstr(e.message, path));
		assert_non_null(strstr(e.message, bad[i].says));
		daemon_config_done(&c);
	}
}

#define HOOK(more) \
	"{\"name\": \"a\", \"url\": \"https://h/x\", \"secret\": {\"file\": \"/k\"}" more "}"
#define HOOKS(list) "{\"webhooks\": [" list "]}"
#define ANSWERS(members) "{\"webhooks\": [" HOOK("") "], \"answers\": {" members "}}"

static void test_webhooks(void **state)
{
	struct daemon_config_err e;
	struct daemon_config c;

	assert_int_equal(load("{\"answers\": {\"socket\": \"/run/a\", \"group\": \"bots\","
			      " \"mode\": \"0640\"}, \"webhooks\": [" HOOK(
				      "") ","
					  "{\"name\": \"b.2\", \"url\": \"http://127.0.0.1:8/\", "
					  "\"comment\": 1,"
					  " \"secret\": {\"file\": \"/k2\"}, \"format\": "
					  "\"slack\", \"ca\": \"/c\","
					  " \"events\": [\"settled\"]}]}",
			      &c, &e),
			 0);
	assert_int_equal(c.n_webhooks, 2);
	assert_string_equal(c.webhooks[0].name, "a");
	assert_string_equal(c.webhooks[0].secret, "/k");
	assert_true(c.webhooks[0].held && c.webhooks[0].settled && !c.webhooks[0].slack);
	assert_null(c.webhooks[0].ca);
	assert_true(!c.webhooks[1].held && c.webhooks[1].settled && c.webhooks[1].slack);
	assert_string_equal(c.webhooks[1].ca, "/c");
	assert_string_equal(c.answers_socket, "/run/a");
	assert_string_equal(c.answers_group, "bots");
	assert_int_equal(c.answers_mode, 0640);
	daemon_config_done(&c);
	assert_int_equal(load(ANSWERS("\"socket\": \"/run/a\""), &c, &e), 0);
	assert_int_equal(c.answers_mode, 0660);
	assert_string_equal(c.answers_group, "");
	daemon_config_done(&c);
	assert_int_equal(load("{\"webhooks\": []}", &c, &e), 0);
	assert_int_equal(c.n_webhooks, 0);
	daemon_config_done(&c);
}

static void test_webhooks_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "{\"webhooks\": {}}", "list of objects" },
		{ HOOKS("1"), "webhooks[0] must be an object" },
		{ HOOKS("{}"), "webhooks[0] needs \"name\"" },
		{ HOOKS(HOOK("") "," HOOK("")), "webhooks[1].name: \"a\" is another's already" },
		{ HOOKS(HOOK(", \"x\": 1")), "unknown key \"webhooks[0].x\"" },
		{ HOOKS(HOOK(", \"format\": \"xml\"")), "webhooks[0].format" },
		{ HOOKS(HOOK(", \"ca\": \"c.pem\"")), "webhooks[0].ca must be an absolute path" },
		{ HOOKS(HOOK(", \"events\": []")), "webhooks[0].events" },
		{ HOOKS(HOOK(", \"events\": [\"held\", \"gone\"]")), "webhooks[0].events[1]" },
		{ HOOKS(HOOK(", \"events\": [\"held\", \"held\"]")), "twice" },
		{ HOOKS("{\"name\": \"a b\"}"), "webhooks[0].name" },
		{ HOOKS("{\"name\": \"\"}"), "webhooks[0].name" },
		{ HOOKS("{\"secret\": \"abc\"}"), "webhooks[0].secret must be {\"file\": PATH}" },
		{ HOOKS("{\"secret\": {\"file\": \"k\"}}"),
		  "secret.file must be an absolute path" },
		{ HOOKS("{\"url\": \"http://h/\"}"), "must begin with https://" },
		{ HOOKS("{\"url\": \"http://localhost/\"}"), "must begin with https://" },
		{ HOOKS("{\"url\": \"http://127.0.0.1@evil/\"}"), "user" },
		{ HOOKS("{\"url\": \"ftp://h/\"}"), "must begin with https://" },
		{ HOOKS("{\"url\": \"https://u:p@h/\"}"), "user" },
		{ HOOKS("{\"url\": \"https://h/#x\"}"), "fragment" },
		{ HOOKS("{\"url\": \"https://h/ x\"}"), "is no URL" },
		{ HOOKS("{\"url\": \"https://h/\\r\\nX: y\"}"), "is no URL" },
		{ HOOKS("{\"url\": \"h\"}"), "is no URL" },
		{ "{\"answers\": {\"socket\": \"/a\"}}", "\"answers\" need \"webhooks\"" },
		{ ANSWERS(""), "\"answers\" needs \"socket\"" },
		{ ANSWERS("\"socket\": \"a\""), "\"answers.socket\" must be an absolute path" },
		{ ANSWERS("\"socket\": \"/a\", \"mode\": 432"), "like \"0660\"" },
		{ ANSWERS("\"socket\": \"/a\", \"mode\": \"0770\""), "not executed" },
		{ ANSWERS("\"socket\": \"/a\", \"mode\": \"9660\""), "like \"0660\"" },
		{ ANSWERS("\"socket\": \"/a\", \"group\": 1"), "answers.group" },
		{ ANSWERS("\"socket\": \"/a\", \"port\": 1"), "unknown key \"answers.port\"" },
	};
	struct daemon_config_err e;
	struct daemon_config c;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(&e, 0, sizeof(e));
		assert_int_equal(load(bad[i].text, &c, &e), -EINVAL);
		if (!strstr(e.message, bad[i].says))
			fail_msg("%s: %s", bad[i].text, e.message);
		daemon_config_done(&c);
	}
}

static void test_too_long(void **state)
{
	char *big = malloc(DAEMON_FILE_MAX + 2);
	struct daemon_config_err e;
	struct daemon_config c;

	assert_non_null(big);
	memset(big, ' ', DAEMON_FILE_MAX + 1);
	big[DAEMON_FILE_MAX + 1] = '\0';
	assert_int_equal(load(big, &c, &e), -EMSGSIZE);
	daemon_config_done(&c);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),       cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_refusals),         cmocka_unit_test(test_webhooks),
		cmocka_unit_test(test_webhooks_refused), cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
