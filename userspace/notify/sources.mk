# SPDX-License-Identifier: Apache-2.0
SRCS += $(addprefix userspace/notify/,$(notdir $(wildcard userspace/notify/*.c)))
