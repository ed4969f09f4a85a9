SRCS += $(addprefix userspace/bpfctl/,bpfctl.c cgroup.c flow.c links.c pin.c)
