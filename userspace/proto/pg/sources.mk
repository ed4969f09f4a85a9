# SPDX-License-Identifier: Apache-2.0
SRCS += $(addprefix userspace/proto/pg/,$(notdir $(wildcard userspace/proto/pg/*.c)))
