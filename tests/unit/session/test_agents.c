// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>

#include "session/agents.h"

static struct policy_set *compile(const char *json)
{
	struct policy_source src = { "test.json", slice_str(json) };
	struct policy_set *set;
	struct policy_err err;

	if (policy_set_compile(&src, 1, &set, &err) < 0)
		fail_msg("%s:%u:%u: %s", err.source, err.line, err.column, err.message);
	return set;
}

static const char two_words[] =
	"{\"name\":\"own\",\"default\":\"allow\",\"targets\":[{\"name\":\"t\","
	"\"hosts\":[\"10.0.0.0/8\",\"localhost\"],\"ports\":[80]}]}";
static const char by_glob[] = "{\"name\":\"shared\",\"agents\":[{\"cgroup\":\"/agents/**\"}],"
			      "\"targets\":[{\"name\":\"all\",\"hosts\":[\"*\"]}]}";

static const struct policy *policy_of(struct agents *r, uint64_t id, const char *container)
{
	struct agent *a;
	const struct policy *p;

	assert_int_equal(agents_lookup(r, id, &a), 0);
	p = a->policy;
	assert_string_equal(a->id.container, container);
	assert_true(a->id.cgroup_id == id);
	assert_null(agent_unref(a));
	return p;
}

static void test_nearest_attached_cgroup_rules(void **state)
{
	struct agents *r;
	struct agent *a;
	uint64_t id;

	assert_int_equal(agents_new("boot", &r), 0);
	agents_set_policies(r, compile(by_glob));
	assert_int_equal(agents_attach(r, 10, "/agents", "outer", "", NULL, 0, NULL), 0);
	assert_int_equal(
		agents_attach(r, 11, "/agents/inner", "inner", "", NULL, 0, compile(two_words)), 0);
	assert_string_equal(policy_name(policy_of(r, 10, "outer")), "shared");
	assert_string_equal(policy_name(policy_of(r, 11, "inner")), "own");

	/* Children are unknown until somebody has told their path. */
	assert_int_equal(agents_lookup(r, 12, &a), -EAGAIN);
	assert_int_equal(agents_lookup(r, 12, &a), -EAGAIN);
	assert_int_equal(agents_wanted(r, &id), 1);
	assert_true(id == 12);
	assert_int_equal(agents_wanted(r, &id), 0); /* asked for once */
	agents_resolved(r, 12, "/agents/inner/deep/er");
	agents_resolved(r, 13, "/agents/innermost");
	agents_resolved(r, 14, "/elsewhere");
	agents_resolved(r, 15, NULL);
	assert_string_equal(policy_name(policy_of(r, 12, "inner")), "own");
	assert_string_equal(policy_name(policy_of(r, 13, "outer")), "shared");
	assert_int_equal(agents_lookup(r, 14, &a), -EACCES);
	assert_int_equal(agents_lookup(r, 15, &a), -EACCES);

	/* Without the inner one, the outer one rules what was below it. */
	assert_int_equal(agents_detach(r, 11), 0);
	assert_int_equal(agents_detach(r, 11), -ENOENT);
	assert_string_equal(policy_name(policy_of(r, 12, "outer")), "shared");
	assert_int_equal(agents_detach(r, 10), 0);
	assert_int_equal(agents_lookup(r, 12, &a), -EACCES);
	assert_null(agents_free(r));
}

static void test_policies_for_users(void **state)
{
	static const char by_uid[] = "{\"name\":\"u\",\"agents\":[{\"uid\":[0,7]}]}";
	struct identity id = { .cgroup_id = 10, .uid = 5, .exe = "" };
	struct agents *r;
	struct agent *a;

	assert_int_equal(agents_new("boot", &r), 0);
	agents_set_policies(r, compile(by_uid));
	assert_int_equal(agents_attach(r, 10, "/agents", "outer", "", NULL, 0, NULL), 0);
	assert_null(policy_of(r, 10, "outer")); /* of nobody in particular, root included */
	assert_int_equal(agents_lookup_connection(r, &id, &a), 0);
	assert_null(a->policy);
	assert_null(agent_unref(a));
	id.uid = 7;
	assert_int_equal(agents_lookup_connection(r, &id, &a), 0);
	assert_string_equal(policy_name(a->policy), "u");
	assert_int_equal(agents_detach(r, 10), 0);
	assert_string_equal(a->id.container, "outer"); /* outlives what it was made of */
	assert_null(agent_unref(a));
	/* One's own policy holds for all users. */
	assert_int_equal(agents_attach(r, 10, "/agents", "", "", NULL, 0, compile(two_words)), 0);
	assert_int_equal(agents_lookup_connection(r, &id, &a), 0);
	assert_string_equal(policy_name(a->policy), "own");
	assert_null(agent_unref(a));
	assert_null(agents_free(r));
}

static void test_an_agent_outlives_its_registry_entry(void **state)
{
	const struct identity_label labels[] = { { "team", "billing" } };
	struct agents *r;
	struct agent *a;

	assert_int_equal(agents_new("boot", &r), 0);
	assert_int_equal(agents_attach(r, 1, "/a", "c", "img:1", labels, 1, compile(two_words)), 0);
	assert_int_equal(agents_lookup(r, 1, &a), 0);
	assert_int_equal(agents_detach(r, 1), 0);
	assert_null(agents_free(r));
	assert_string_equal(policy_name(a->policy), "own");
	assert_string_equal(a->id.labels[0].value, "billing");
	assert_string_equal(a->id.image, "img:1");
	assert_string_equal(a->id.boot_id, "boot");
	assert_null(agent_unref(a));
}

static void test_targets_by_address_and_by_name(void **state)
{
	struct agents *r;
	struct agent *a;
	struct buf names;
	struct addr in = addr_v4(htonl(0x0a010203), htons(80)),
		    local = addr_v4(htonl(0x7f000001), htons(80)),
		    other = addr_v4(htonl(0x0b010203), htons(80)),
		    port = addr_v4(htonl(0x0a010203), htons(81));

	assert_int_equal(agents_new("boot", &r), 0);
	assert_int_equal(agents_attach(r, 1, "/a", "", "", NULL, 0, compile(two_words)), 0);
	assert_int_equal(agents_lookup(r, 1, &a), 0);
	assert_string_equal(agents_target(r, a, &in)->name, "t");
	assert_string_equal(agents_target(r, a, &local)->name, "t");
	assert_null(agents_target(r, a, &other));
	assert_null(agents_target(r, a, &port));
	buf_init(&names, 16);
	assert_int_equal(agents_names(r, &local, &names), 0);
	assert_true(slice_eq(buf_peek(&names), SLICE("localhost\0")));
	assert_int_equal(agents_names(r, &local, &names), 0); /* no more fits */
	assert_int_equal(buf_len(&names), 10);
	buf_clear(&names);
	assert_int_equal(agents_names(r, &in, &names), 0);
	assert_int_equal(buf_len(&names), 0);
	buf_done(&names);
	assert_null(agent_unref(a));
	assert_null(agents_free(r));
}

static void test_without_a_matching_policy_nothing_is_allowed(void **state)
{
	struct agents *r;
	struct agent *a;
	struct addr dst = addr_v4(htonl(0x0a010203), htons(80));

	assert_int_equal(agents_new("boot", &r), 0);
	agents_set_policies(r, compile(by_glob));
	assert_int_equal(agents_attach(r, 1, "/stranger", "", "", NULL, 0, NULL), 0);
	assert_int_equal(agents_lookup(r, 1, &a), 0);
	assert_null(a->policy);
	assert_null(agents_target(r, a, &dst));
	assert_null(agent_unref(a));
	assert_null(agents_free(r));
}

static void test_changes_are_counted(void **state)
{
	uint64_t generation, detachments;
	struct agents *r;

	assert_int_equal(agents_new("boot", &r), 0);
	generation = agents_generation(r);
	detachments = agents_detachments(r);
	assert_int_equal(agents_attach(r, 1, "/agents/a", "c", "", NULL, 0, NULL), 0);
	assert_true(agents_generation(r) > generation);
	generation = agents_generation(r);
	agents_set_policies(r, compile(by_glob));
	assert_true(agents_generation(r) > generation);
	generation = agents_generation(r);
	/* Looking is no change, nor is a path that becomes known. */
	assert_string_equal(policy_name(policy_of(r, 1, "c")), "shared");
	agents_resolved(r, 5, "/agents/a/b");
	assert_true(agents_generation(r) == generation);
	assert_true(agents_detachments(r) == detachments);
	assert_int_equal(agents_detach(r, 1), 0);
	assert_true(agents_generation(r) > generation);
	assert_true(agents_detachments(r) > detachments);
	assert_null(agents_free(r));
}

static void test_cgroups_without_end_are_forgotten_not_attached_ones(void **state)
{
	struct agents *r;

	assert_int_equal(agents_new("boot", &r), 0);
	assert_int_equal(agents_attach(r, 1, "/a", "kept", "", NULL, 0, compile(two_words)), 0);
	for (uint64_t id = 100; id < 100 + 40000; id++)
		agents_resolved(r, id, "/a/b");
	assert_string_equal(policy_name(policy_of(r, 1, "kept")), "own");
	assert_null(agents_free(r));
}

static int attach_some(void *ctx)
{
	const struct identity_label labels[] = { { "k", "v" }, { "k2", "v2" } };
	struct agents *r;
	struct agent *a;
	int err = agents_new("boot", &r);

	if (err < 0)
		return err;
	err = agents_attach(r, 1, "/a", "c", "", labels, 2, NULL);
	if (err == 0)
		err = agents_lookup(r, 1, &a);
	if (err == 0)
		assert_null(agent_unref(a));
	else
		assert_int_equal(err, -ENOMEM);
	assert_null(agents_free(r));
	return err;
}

static void test_without_memory(void **state)
{
	alloc_fail_each(attach_some, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nearest_attached_cgroup_rules),
		cmocka_unit_test(test_policies_for_users),
		cmocka_unit_test(test_an_agent_outlives_its_registry_entry),
		cmocka_unit_test(test_targets_by_address_and_by_name),
		cmocka_unit_test(test_without_a_matching_policy_nothing_is_allowed),
		cmocka_unit_test(test_changes_are_counted),
		cmocka_unit_test(test_cgroups_without_end_are_forgotten_not_attached_ones),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
