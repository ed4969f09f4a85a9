// SPDX-License-Identifier: Apache-2.0
/* The HTTP handler against any bytes, by the promises of include/proto.h; the input's form is told
 * in tests/support/proto_harness.h. Seeds come from tests/golden/http. */
#include "proto/http/http.h"
#include "support/proto_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Small, so that small inputs meet them. */
	static const struct proto_limits lim = { .head_max = 2048,
						 .message_max = 4096,
						 .text_max = 512,
						 .record_max = 256,
						 .out_max = 512,
						 .queue_max = 4,
						 .body_max = 48 };

	harness_fuzz(&proto_http, &lim, data, size);
	return 0;
}
