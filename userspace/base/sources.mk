SRCS += $(addprefix userspace/base/,addr.c arena.c buf.c clock.c glob.c hash.c json.c log.c op.c sha256.c slice.c ulid.c utf8.c)
