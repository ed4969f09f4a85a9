SRCS += $(addprefix userspace/net/,loop.c sock.c)
