SRCS += $(addprefix userspace/daemon/,$(notdir $(wildcard userspace/daemon/*.c)))
