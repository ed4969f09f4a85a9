SRCS += userspace/proto/tcp/tcp.c
