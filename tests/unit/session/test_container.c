// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include "session/container.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define POD "1b3c5d7e-1111-2222-3333-444455556666"
#define POD_ "1b3c5d7e_1111_2222_3333_444455556666"

static void test_the_forms_that_runtimes_use(void **state)
{
	static const struct {
		const char *path, *runtime, *id, *pod;
	} rows[] = {
		{ "/docker/" ID, "docker", ID, "" },
		{ "/system.slice/docker-" ID ".scope", "docker", ID, "" },
		{ "/machine.slice/libpod-" ID ".scope", "podman", ID, "" },
		{ "/machine.slice/libpod-" ID ".scope/container", "podman", ID, "" },
		{ "/libpod_parent/libpod-" ID, "podman", ID, "" },
		{ "/kubepods/burstable/pod" POD "/" ID, "containerd", ID, POD },
		{ "/kubepods.slice/kubepods-pod" POD_ ".slice/cri-containerd-" ID ".scope",
		  "containerd", ID, POD_ },
		{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_
		  ".slice/crio-" ID ".scope",
		  "cri-o", ID, POD_ },
		{ "/agents.slice/a.scope", "", "", "" },
		{ "/docker/not-an-id", "", "", "" },
		{ "/weir/0123456789abcdef", "", "", "" },
		{ "/libpod-conmon-" ID ".scope", "", "", "" },
		{ "/", "", "", "" },
		{ "", "", "", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct container_ref r = container_from_path(slice_str(rows[i].path));

		assert_string_equal(r.runtime, rows[i].runtime);
		assert_true(slice_eq_str(r.id, rows[i].id));
		assert_true(slice_eq_str(r.pod, rows[i].pod));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_forms_that_runtimes_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
