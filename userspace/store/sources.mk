# SPDX-License-Identifier: Apache-2.0
SRCS += $(addprefix userspace/store/,store.c batch.c codec.c events.c find.c index.c journal.c query.c terms.c)
