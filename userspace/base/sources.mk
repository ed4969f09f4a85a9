SRCS += $(addprefix userspace/base/,addr.c arena.c buf.c clock.c glob.c hash.c log.c op.c slice.c ulid.c)
