SRCS += $(addprefix userspace/cli/,$(notdir $(wildcard userspace/cli/*.c)))
