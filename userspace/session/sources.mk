SRCS += $(addprefix userspace/session/,agents.c classes.c container.c judge.c names.c record.c session.c worker.c)
