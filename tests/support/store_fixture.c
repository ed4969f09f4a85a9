// SPDX-License-Identifier: Apache-2.0
#include "support/store_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "base/clock.h"
#include "base/hash.h"

#define FIXTURE_DAY_NS 1767225600000000000ULL /* 2026-01-01T00:00:00Z */

void store_fixture_dir(char dir[64])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, 64, "%s/weir-store-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	if (!mkdtemp(dir))
		abort();
}

void store_fixture_remove(const char *dir)
{
	static const char *const files[] = { "data.mdb", "lock.mdb", "writer.lock", "journal" };
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		(void)unlink(path); /* not all of them need be there */
	}
	if (rmdir(dir) < 0)
		abort();
}

struct store_session store_fixture_session(unsigned n)
{
	struct store_session s = { .state = STORE_SESSION_OPEN,
				   .target = "",
				   .protocol = "postgres",
				   .policy = "test",
				   .reason = "" };

	s.start_ns = FIXTURE_DAY_NS + n * NSEC_PER_MSEC;
	s.id = ulid_floor(s.start_ns);
	s.id.bytes[14] = (uint8_t)(n >> 8);
	s.id.bytes[15] = (uint8_t)n;
	s.identity = (struct identity){ .cgroup_id = 1000 + n,
					.cgroup_path = "/agents.slice/a.scope",
					.boot_id = "8d1f0dd0-6b1e-4b3a-9f10-6f5c0d3a2b11",
					.runtime = "",
					.container = "",
					.image = "",
					.pod = "",
					.comm = "psql",
					.exe = "/usr/bin/psql",
					.pid = 4242,
					.uid = 1000 };
	s.client = addr_v4(htonl(0x0a000002), htons(40000));
	s.dst = s.upstream = addr_v4(htonl(0x0a000001), htons(5432));
	return s;
}

struct store_event store_fixture_op(struct op *op, const char *verb, const char *statement)
{
	*op = (struct op){ .id = 1,
			   .protocol = "postgres",
			   .verb = slice_str(verb),
			   .effects = OP_READ,
			   .text = slice_str(statement) };
	op->fingerprint = hash_bytes(op->text, HASH_KEY_FIXED);
	return (struct store_event){
		.type = STORE_OP,
		.op = op,
		.time_ns = FIXTURE_DAY_NS + 5 * NSEC_PER_MSEC,
		.verdict = { .kind = VERDICT_ALLOW, .rule = "default", .message = NULL }
	};
}
