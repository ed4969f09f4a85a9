// SPDX-License-Identifier: Apache-2.0
/* The PostgreSQL handler against any bytes, by the promises of include/proto.h; the input's form is
 * told in tests/support/proto_harness.h. Seeds come from tests/golden/pg. */
#include "proto/pg/pg.h"
#include "support/proto_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * A request to encrypt with bytes behind it: whether they came before our answer was read is what
 * decides (promise 7), and a driver that takes output byte by byte decides otherwise than one that
 * does not. That is not a breach of promise 1; tests/unit/proto/pg/test_class.c looks at it.
 */
static bool asks_to_encrypt(const uint8_t *data, size_t size)
{
	return memmem(data, size, "\x04\xd2\x16\x2f", 4) ||
	       memmem(data, size, "\x04\xd2\x16\x30", 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Small, so that small inputs meet them. */
	static const struct proto_limits lim = { .head_max = 2048,
						 .message_max = 4096,
						 .text_max = 512,
						 .record_max = 256,
						 .out_max = 512,
						 .queue_max = 4 };

	if (!size || !asks_to_encrypt(data, size))
		harness_fuzz(&proto_pg, &lim, data, size);
	return 0;
}
